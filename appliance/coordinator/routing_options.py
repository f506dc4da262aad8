"""What the router goes by, and what each effort allows, as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from appliance.domain.request import Effort
from appliance.domain.strategy import CASCADE, DIRECT


@dataclass(frozen=True, slots=True)
class Condition:
    """What a request must be like; everything that is given must hold.

    `tenants`, `labels` and `effort` name alternatives. The characters are those of all messages, `pattern` is a
    regular expression that is looked for in the last one.
    """

    tenants: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    effort: tuple[Effort, ...] = ()
    min_prompt_chars: int | None = None
    max_prompt_chars: int | None = None
    tools: bool | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests like `when` are answered by the strategy `use`."""

    name: str
    use: str
    when: Condition = field(default_factory=Condition)


@dataclass(frozen=True, slots=True)
class EffortLimits:
    """What one effort allows. `strategies`: None allows all; `min_cues` lowers that of the direct rule."""

    strategies: tuple[str, ...] | None = None
    verify: bool = True
    budget_factor: float = 1.0
    attempts_factor: float = 1.0
    min_cues: int | None = None


DEFAULT_EFFORTS: Mapping[Effort, EffortLimits] = MappingProxyType(
    {
        Effort.LOW: EffortLimits(strategies=(DIRECT, CASCADE), verify=False),
        Effort.MEDIUM: EffortLimits(),
        Effort.HIGH: EffortLimits(budget_factor=2.0, attempts_factor=2.0, min_cues=1),
    }
)
