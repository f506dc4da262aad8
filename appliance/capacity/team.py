"""One way to answer that may be bought for: its models and roles, how easy and hard requests are answered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from appliance.capacity.quality import Quality
from appliance.capacity.role_demand import role_demand
from appliance.capacity.trees import TreeSample
from appliance.domain.demand import Demand
from appliance.placement.problem import Problem


@dataclass(frozen=True, slots=True)
class Team:
    """`problem` has models, roles and constraints; nodes and demand are filled in for each candidate.

    `easy` and `hard` are classes of `trees`: strategies. `trees_from` says where the trees come from. `quality` is None
    where nobody measured it; `quality_missing` then says what was not measured.
    """

    name: str
    problem: Problem
    easy: str
    hard: str
    trees: Mapping[str, tuple[TreeSample, ...]]
    trees_from: str
    quality: Quality | None = None
    quality_missing: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """Its models."""
        return tuple(wanted.model_id for wanted in self.problem.models)

    def mix(self, hard_share: float) -> dict[str, float]:
        """Class of traffic → share of the requests."""
        shares = {self.easy: 1 - hard_share}
        shares[self.hard] = shares.get(self.hard, 0.0) + hard_share
        return {traffic: share for traffic, share in shares.items() if share > 0}

    def demand(self, hard_share: float, requests_per_s: float) -> Demand:
        """What the solver is asked to place for."""
        return role_demand(self.trees, self.mix(hard_share), self.problem.roles, requests_per_s)

    def sized(self, sizes: Mapping[str, tuple[int, ...]]) -> Team:
        """With these numbers of GPUs for an engine of each model."""
        models = tuple(replace(w, tensor_parallel_sizes=sizes[w.model_id]) for w in self.problem.models)
        return replace(self, problem=replace(self.problem, models=models))

    def longer(self, factor: float) -> Team:
        """The same with prompts and answers `factor` times as long, as far as they fit the models."""
        most = {wanted.model_id: wanted.max_model_len for wanted in self.problem.models}
        return replace(
            self,
            trees={
                traffic: tuple(_stretched(tree, factor, most) for tree in sample)
                for traffic, sample in self.trees.items()
            },
        )


def _stretched(tree: TreeSample, factor: float, most: Mapping[str, int]) -> TreeSample:
    calls = []
    for call in tree.calls:
        prompt = min(ceil(call.prompt_tokens * factor), most[call.model_id] - 1)
        completion = min(ceil(call.completion_tokens * factor), most[call.model_id] - prompt)
        calls.append(
            replace(
                call,
                prompt_tokens=prompt,
                completion_tokens=completion,
                shared_tokens=min(call.shared_tokens, prompt),
                after_token=None if call.after_token is None else ceil(call.after_token * factor),
            )
        )
    return replace(tree, calls=tuple(calls))
