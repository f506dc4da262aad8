"""Request trees → what the placement solver wants to know: calls per request and tokens of each role. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.capacity.trees import CallShape, TreeSample
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Role

Roles = Mapping[str, tuple[str, ...]]
"""Role keys (`executors.math`) → models in order of preference."""


@dataclass(slots=True)
class _Sum:
    """Per request, of one role."""

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0

    def add(self, call: CallShape, weight: float) -> None:
        self.calls += weight
        self.prompt_tokens += weight * call.prompt_tokens
        self.completion_tokens += weight * call.completion_tokens

    def average(self) -> RoleDemand:
        prompt, completion = self.prompt_tokens / self.calls, self.completion_tokens / self.calls
        return RoleDemand(self.calls, max(1, round(prompt)), max(1, round(completion)))


def role_demand(
    trees: Mapping[str, Sequence[TreeSample]], mix: Mapping[str, float], roles: Roles, requests_per_s: float
) -> Demand:
    """Averages per request of the mix (class of traffic → share)."""
    sums: dict[str, _Sum] = {}
    keys: dict[tuple[Role, str], str] = {}
    for traffic, share in mix.items():
        sample = trees[traffic]
        for call in (call for tree in sample for call in tree.calls):
            who = call.role, call.model_id
            if who not in keys:
                keys[who] = _key(call, roles)
            sums.setdefault(keys[who], _Sum()).add(call, share / len(sample))
    return Demand(tuple((key, found.average()) for key, found in sums.items()), requests_per_s)


def _key(call: CallShape, roles: Roles) -> str:
    """The role key that bears a call: the one that prefers its model most; else the generalist, who helps out."""
    of_role = [key for key in roles if key.partition(".")[0].removesuffix("s") == call.role.value]
    knowing = [key for key in of_role or roles if call.model_id in roles[key]]
    return min(knowing, key=lambda key: roles[key].index(call.model_id), default=Role.GENERALIST.value)
