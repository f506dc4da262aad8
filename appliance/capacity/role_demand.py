"""Request trees → what the placement solver wants to know: calls per request and tokens of each role. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from appliance.capacity.trees import CallShape, TreeSample
from appliance.domain.demand import Demand, RoleDemand
from appliance.domain.model import Role


def role_demand(
    trees: Mapping[str, Sequence[TreeSample]],
    mix: Mapping[str, float],
    roles: Mapping[str, tuple[str, ...]],
    requests_per_s: float,
) -> Demand:
    """Averages per request of the mix. `roles` maps role keys (`executors.math`) to models in order of preference."""
    calls: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    completions: Counter[str] = Counter()
    for traffic, share in mix.items():
        sample = trees[traffic]
        for tree in sample:
            for call in tree.calls:
                key, weight = _key(call, roles), share / len(sample)
                calls[key] += weight
                prompts[key] += weight * call.prompt_tokens
                completions[key] += weight * call.completion_tokens
    return Demand(
        tuple(
            (
                key,
                RoleDemand(
                    calls[key], max(1, round(prompts[key] / calls[key])), max(1, round(completions[key] / calls[key]))
                ),
            )
            for key in roles
            if calls[key] > 0
        ),
        requests_per_s,
    )


def _key(call: CallShape, roles: Mapping[str, tuple[str, ...]]) -> str:
    """The role key of a call: one that prefers its model, else one that knows it, else the first of its role."""
    of_role = [key for key in roles if key.partition(".")[0].removesuffix("s") == call.role.value]
    ranked = sorted(of_role, key=lambda key: _rank(call.model_id, roles[key]))
    return ranked[0] if ranked else Role.GENERALIST.value


def _rank(model_id: str, models: tuple[str, ...]) -> int:
    return models.index(model_id) if model_id in models else len(models)
