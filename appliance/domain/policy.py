"""Where data may go: labels of requests, and the models and nodes that may see each of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What may see data of one label: models by id and nodes by name. None: any."""

    models: frozenset[str] | None = None
    nodes: frozenset[str] | None = None

    def refusal(self, model_id: str, node: str) -> str:
        """Why an engine of `model_id` on `node` may not see it; empty where it may."""
        if self.models is not None and model_id not in self.models:
            return f"{model_id} is not allowed for it"
        if self.nodes is not None and node not in self.nodes:
            return f"node {node} is not allowed for it"
        return ""


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """The rules by label. A label that has no rule is not known, and nothing may see its data."""

    rules: Mapping[str, LabelRule] = field(default_factory=dict)

    def unknown(self, labels: Collection[str]) -> tuple[str, ...]:
        """The labels that have no rule, sorted."""
        return tuple(sorted(set(labels) - set(self.rules)))

    def refusal(self, labels: Collection[str], model_id: str, node: str) -> str:
        """Why an engine may not see data of all `labels`, naming the first label against it; empty where it may."""
        for label in sorted(labels):
            rule = self.rules.get(label)
            reason = rule.refusal(model_id, node) if rule is not None else "it is not known"
            if reason:
                return f"label {label}: {reason}"
        return ""


OPEN = DataPolicy()
"""Without labels there is nothing to keep apart."""
