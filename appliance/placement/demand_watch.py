"""Whether what requests ask of the pool has moved away from what the plan assumed, without being led by every wave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.domain.demand import Demand, RoleDemand

PROMPT_TOKENS_PER_TOKEN = 10
"""Reading so many tokens of a prompt is taken to cost as much as generating one."""
LEAST_SHARE = 0.1
"""A role below this part of the load does not count, and none is planned for with less than this part of its calls."""


@dataclass(frozen=True, slots=True)
class RoleTally:
    """Calls of one role, and their tokens in sum."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: RoleTally) -> RoleTally:
        return RoleTally(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """What was asked in one window: whole requests, and calls by role key (`planner`, `executors.math`, …)."""

    requests: int = 0
    roles: Mapping[str, RoleTally] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        keys = {**self.roles, **other.roles}
        none = RoleTally()
        return Tally(
            self.requests + other.requests,
            {key: self.roles.get(key, none) + other.roles.get(key, none) for key in keys},
        )


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """A role's load differs by more than `factor`, in `windows` windows in a row."""

    factor: float = 2.0
    windows: int = 3


@dataclass(frozen=True, slots=True)
class DemandWatch:
    """What is remembered: the demand that the plan assumes, and the newest windows in a row that differ from it."""

    assumed: Demand
    differing: tuple[Tally, ...] = ()


def after_window(watch: DemandWatch, tally: Tally, policy: DriftPolicy) -> DemandWatch:
    """One more window. A single one that fits the plan begins the count anew."""
    if not differences(watch.assumed, measured(tally, watch.assumed), policy.factor):
        return DemandWatch(watch.assumed)
    return DemandWatch(watch.assumed, (*watch.differing, tally)[-policy.windows :])


def moved(watch: DemandWatch, policy: DriftPolicy) -> Demand | None:
    """The demand of all differing windows together, when there are enough of them and their mean differs too.

    So a demand that swings to and fro is planned for with its mean, once.
    """
    if len(watch.differing) < policy.windows:
        return None
    mean = measured(sum(watch.differing, Tally()), watch.assumed)
    return mean if differences(watch.assumed, mean, policy.factor) else None


def measured(tally: Tally, assumed: Demand) -> Demand:
    """Calls per request as they were; a role that was hardly called keeps a part of what was assumed of it."""
    roles: dict[str, RoleDemand] = {}
    for key, before in assumed.roles:
        roles[key] = RoleDemand(before.calls * LEAST_SHARE, before.prompt_tokens, before.completion_tokens)
    for key, seen in sorted(tally.roles.items()):
        if seen.calls == 0:
            continue
        calls = seen.calls / max(1, tally.requests)
        least = roles[key].calls if key in roles else 0.0
        roles[key] = RoleDemand(
            max(calls, least),
            max(1, round(seen.prompt_tokens / seen.calls)),
            max(1, round(seen.completion_tokens / seen.calls)),
        )
    return Demand(tuple(roles.items()), assumed.requests_per_s)


def differences(assumed: Demand, seen: Demand, factor: float) -> tuple[str, ...]:
    """Roles that bear a clearly other part of the load than assumed, each as a sentence."""
    before, now = _shares(assumed), _shares(seen)
    found = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key, 0.0), now.get(key, 0.0)
        if max(old, new) >= LEAST_SHARE and max(old, new) > factor * min(old, new):
            found.append(f"{key} bears {new:.0%} of the load, planned for {old:.0%}")
    return tuple(found)


def _shares(demand: Demand) -> dict[str, float]:
    """Each role's part of the load, in generated tokens or what costs as much."""
    loads = {
        key: role.calls * (role.completion_tokens + role.prompt_tokens / PROMPT_TOKENS_PER_TOKEN)
        for key, role in demand.roles
    }
    total = sum(loads.values())
    return {key: load / total for key, load in loads.items()} if total else {}
