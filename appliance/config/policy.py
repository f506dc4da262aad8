"""The section `policy`."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import Field

from appliance.config.section import Section
from appliance.domain.identifier import Identifier


class LabelSettings(Section):
    """What may see data of one label. What is left out is not asked about."""

    models: tuple[Identifier, ...] | None = None
    """Models of the pool."""
    licences: tuple[str, ...] | None = None
    """Models under one of these licences (SPDX identifiers)."""
    countries: tuple[str, ...] | None = None
    """Models from one of these countries, as their manifests name it."""
    nodes: tuple[str, ...] | None = None
    """Engines on these nodes. `local` is this machine."""


class PolicySettings(Section):
    """Which data may go where. It is asked before each call, and again for each engine that could take the call."""

    labels: dict[Identifier, LabelSettings] = Field(default_factory=dict)
    """Labels that requests may bear. A request with any other label is refused."""
    default_labels: tuple[Identifier, ...] = ()
    """Labels that the data of every request bear, whatever the request says."""

    def problems(self, pool: Collection[str]) -> list[str]:
        """Names that the rest of the configuration does not know, each with its key and the way out."""
        found = [
            f"policy.labels.{label}.models: {model} is not in the pool; name one of {', '.join(pool)}"
            for label, rule in self.labels.items()
            for model in rule.models or ()
            if model not in pool
        ]
        return found + [
            f"policy.default_labels: {label} has no rule; add it under policy.labels"
            for label in self.default_labels
            if label not in self.labels
        ]
