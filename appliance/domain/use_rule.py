"""One set of permissions: what a tenant, or data of one label, may use. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.domain.request import Effort

EFFORTS: Final = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
"""From the least."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a rule may ask of a model besides its id. An empty string is not known, and what is not known is refused."""

    licence: str = ""
    country: str = ""
    publisher: str = ""


@dataclass(frozen=True, slots=True)
class UseRule:
    """What is allowed; None: not asked about.

    `clip`: a request that wants another strategy, more effort or a longer answer gets what is allowed instead of a
    refusal. `keep_content`: whether prompts and answers may be kept; `keep_days`: for how long a trace is.
    """

    models: frozenset[str] | None = None
    licences: frozenset[str] | None = None
    countries: frozenset[str] | None = None
    publishers: frozenset[str] | None = None
    nodes: frozenset[str] | None = None
    strategies: frozenset[str] | None = None
    max_effort: Effort | None = None
    max_tokens: int | None = None
    keep_content: bool | None = None
    keep_days: int | None = None
    clip: bool = False

    def model_refusal(self, model_id: str, origin: Origin) -> str:
        """Why a model may not be used, wherever it runs; empty where it may."""
        if self.models is not None and model_id not in self.models:
            return f"{model_id} is not allowed for it"
        for what, allowed, value in (
            ("licence", self.licences, origin.licence),
            ("country", self.countries, origin.country),
            ("publisher", self.publishers, origin.publisher),
        ):
            if allowed is not None and value not in allowed:
                known = f"{what} {value} of {model_id} is not allowed for it" if value else ""
                return known or f"the {what} of {model_id} is not known, and it asks for one"
        return ""

    def node_refusal(self, node: str) -> str:
        """Why a node may not be used."""
        if self.nodes is not None and node not in self.nodes:
            return f"node {node} is not allowed for it"
        return ""

    def said(self) -> Iterator[tuple[str, str]]:
        """What it asks about: name of the field and its value in words."""
        for name in ("models", "licences", "countries", "publishers", "nodes", "strategies"):
            allowed = getattr(self, name)
            if allowed is not None:
                yield name, ", ".join(sorted(allowed)) or "none"
        for name in ("max_effort", "max_tokens", "keep_content", "keep_days"):
            value = getattr(self, name)
            if value is not None:
                yield name, str(value).lower() if isinstance(value, bool) else str(value)


NOTHING_ASKED: Final = UseRule()
