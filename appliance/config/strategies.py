"""The sections of the strategies that draw several answers, below `coordinator`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic import Field

from appliance.config.routing import unknown
from appliance.config.section import Section
from appliance.domain.identifier import Identifier
from appliance.domain.strategy import CASCADE, PLANNED


class CascadeSettings(Section):
    """`cascade`: a small model answers first; larger ones answer what does not pass verification."""

    models: tuple[Identifier, ...] = ()
    """From small to large. Empty: the generalists, the least preferred one first."""
    min_confidence: float | None = Field(None, ge=0, le=1)
    """An answer is taken at this probability of being right. None: where the verifier's threshold lets it pass."""
    then: Identifier | None = None
    """Strategy for what no model's answer passed. None: the largest model's answer is taken as it comes."""

    def problems(self, known: Collection[str], *, can_plan: bool) -> Iterator[str]:
        """What can't be gone on with, with its key and the way out; `known` are the strategies that there are."""
        if self.then is None:
            return
        if self.then not in known:
            yield unknown("cascade.then", self.then, known)
        if self.then == CASCADE:
            yield "coordinator.cascade.then: a cascade can't go on with itself; name more models instead"
        if self.then in PLANNED and not can_plan:
            yield "coordinator.cascade.then: nobody plans; give roles.planner a model, or name another strategy"


class BestOfNSettings(Section):
    """`best_of_n`: several answers, each judged; the likeliest one is taken."""

    candidates: int = Field(4, ge=2, le=64)
    """Answers drawn at most."""
    parallel: int = Field(4, ge=1, le=64)
    """Answers drawn at once. Fewer: cheaper where an early one passes, slower where none does."""
    temperature: float = Field(0.7, gt=0, le=2)
    """Sampling temperature, but for the first one, which is what the generalist answers anyway."""
    stop_at: float = Field(0.9, ge=0, le=1)
    """An answer that passes with this probability is taken at once; the others are cancelled."""
    models: tuple[Identifier, ...] = ()
    """Models that take turns. Empty: the generalists in their order of preference, the next one where one fails."""


class SelfConsistencySettings(Section):
    """`self_consistency`: several answers, of which the most frequent one is taken."""

    samples: int = Field(5, ge=2, le=64)
    """Answers drawn at most; no more are drawn than the majority needs."""
    temperature: float = Field(0.7, gt=0, le=2)
    """Sampling temperature."""
    models: tuple[Identifier, ...] = ()
    """Models that take turns. Empty: the generalists in their order of preference, the next one where one fails."""


def unknown_models(key: str, models: tuple[str, ...], pool: Collection[str]) -> Iterator[str]:
    """Models that are not in the pool; `key` is below `coordinator`."""
    for model in models:
        if model not in pool:
            yield f"coordinator.{key}: {model} is not in the pool; add it there or name one of {', '.join(pool)}"
