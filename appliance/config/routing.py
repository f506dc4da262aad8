"""The parts of the `coordinator` section that choose a strategy: rules in order, and what each effort allows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.config.section import Section
from appliance.domain.identifier import Identifier
from appliance.domain.request import Effort
from appliance.domain.strategy import CASCADE, DIRECT


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_regular_expression)]


class ConditionSettings(Section):
    """What a request must be like; all that is given must hold. Nothing given: every request."""

    tenants: tuple[Identifier, ...] = ()
    """It comes from one of these tenants."""
    labels: tuple[Identifier, ...] = ()
    """It carries at least one of these data labels."""
    effort: tuple[Literal["low", "medium", "high"], ...] = ()
    """It wants one of these efforts."""
    min_prompt_chars: int | None = Field(None, ge=0)
    """All its messages together have at least so many characters."""
    max_prompt_chars: int | None = Field(None, ge=0)
    """All its messages together have at most so many characters."""
    tools: bool | None = None
    """It offers tools, or (`false`) it does not."""
    pattern: Pattern | None = None
    """This regular expression is found in its last message."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.max_prompt_chars is not None and (self.min_prompt_chars or 0) > self.max_prompt_chars:
            raise ValueError("min_prompt_chars is more than max_prompt_chars, so nothing matches; lower it")
        return self


class RuleSettings(Section):
    """A rule of the operator's: requests like this are answered like that."""

    name: Identifier
    """How traces call it."""
    when: ConditionSettings = Field(default_factory=lambda: ConditionSettings())
    """What a request must be like. Left out: every request."""
    use: Identifier
    """The strategy."""


class EffortSettings(Section):
    """What one effort allows."""

    strategies: tuple[Identifier, ...] | None = None
    """Strategies that may be used; another choice becomes `easy` where that is among them, else `direct`. None: all."""
    verify: bool = True
    """Off: nothing is verified, results are taken as they come."""
    budget_factor: float = Field(1.0, gt=0, le=100)
    """The budget of a request is multiplied by it: calls, tokens, seconds."""
    attempts_factor: float = Field(1.0, gt=0, le=10)
    """Repair attempts, replans, candidates and samples are multiplied by it, rounded up."""
    min_cues: int | None = Field(None, ge=0)
    """So many cues are enough to orchestrate, where `direct.min_cues` asks for more."""


class LowEffort(EffortSettings):
    """What `effort: low` allows."""

    strategies: tuple[Identifier, ...] | None = (DIRECT, CASCADE)
    """Strategies that may be used; another choice becomes `easy` where that is among them, else `direct`. None: all."""
    verify: bool = False
    """Off: nothing is verified, results are taken as they come."""


class HighEffort(EffortSettings):
    """What `effort: high` allows."""

    budget_factor: float = Field(2.0, gt=0, le=100)
    """The budget of a request is multiplied by it: calls, tokens, seconds."""
    attempts_factor: float = Field(2.0, gt=0, le=10)
    """Repair attempts, replans, candidates and samples are multiplied by it, rounded up."""
    min_cues: int | None = Field(1, ge=0)
    """So many cues are enough to orchestrate, where `direct.min_cues` asks for more."""


class EffortsSettings(Section):
    """What each effort allows: the body field `effort`, or OpenAI's `reasoning_effort`."""

    low: LowEffort = Field(default_factory=lambda: LowEffort())
    """What `effort: low` (`reasoning_effort` none, minimal, low) allows."""
    medium: EffortSettings = Field(default_factory=lambda: EffortSettings())
    """What `effort: medium` allows, and a request that does not say."""
    high: HighEffort = Field(default_factory=lambda: HighEffort())
    """What `effort: high` (`reasoning_effort` high, xhigh, max) allows."""

    def by_effort(self) -> tuple[tuple[Effort, EffortSettings], ...]:
        """All three."""
        return ((Effort.LOW, self.low), (Effort.MEDIUM, self.medium), (Effort.HIGH, self.high))


def rule_problems(rules: Sequence[RuleSettings], known: Collection[str]) -> Iterator[str]:
    """Rules that can't be meant so, each with its key and the way out."""
    for number, rule in enumerate(rules):
        before = rules[:number]
        if rule.use not in known:
            yield unknown(f"rules.{number}.use", rule.use, known)
        if any(other.name == rule.name for other in before):
            yield f"coordinator.rules.{number}.name: {rule.name} stands twice; rename one"
        if hides := next((o for o in before if o.when in (ConditionSettings(), rule.when)), None):
            yield (
                f"coordinator.rules.{number}: it can't be reached, since rule {hides.name} before it matches all of "
                "its requests; change their order or conditions"
            )


def unknown(key: str, name: str, known: Collection[str]) -> str:
    """The problem of a strategy that is not there; `key` is below `coordinator`."""
    return (
        f"coordinator.{key}: there is no strategy {name}; known: {', '.join(known)}; "
        "give further ones under coordinator.strategies"
    )
