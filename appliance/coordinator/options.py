"""How `auto` answers, as plain frozen values; `bootstrap.py` makes them from the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from appliance.coordinator.routing_options import DEFAULT_EFFORTS, EffortLimits, Rule
from appliance.coordinator.strategy_options import BestOfNOptions, CascadeOptions, SelfConsistencyOptions
from appliance.domain.endpoint import EngineTask
from appliance.domain.model import Role
from appliance.domain.request import BudgetWish, ChatRequest, Effort
from appliance.domain.strategy import DIRECT, PLAN_EXECUTE_VERIFY

Number = TypeVar("Number", int, float)

_NO_WISH = BudgetWish()


@dataclass(frozen=True, slots=True)
class Roles:
    """Which model plays which role; every tuple is an order of preference.

    `executors` maps a skill to its models. No planner: everything is answered directly. No verifier: results are
    taken as they come. No synthesizer: the last task's result is the answer. `tool_callers` are the models whose
    calls of tools their engines can read.
    """

    generalist: tuple[str, ...]
    planner: tuple[str, ...] = ()
    executors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verifier: tuple[str, ...] = ()
    synthesizer: tuple[str, ...] = ()
    tool_callers: frozenset[str] = frozenset()

    def writers(self, sampling: Mapping[str, Any]) -> tuple[str, ...]:
        """The synthesizers for a request with these fields: where it brings tools, those that can call them."""
        if not sampling.get("tools"):
            return self.synthesizer
        return tuple(model_id for model_id in self.synthesizer if model_id in self.tool_callers)

    @property
    def models(self) -> frozenset[str]:
        """All that play any role."""
        return frozenset().union(
            self.generalist, self.planner, *self.executors.values(), self.verifier, self.synthesizer
        )

    def by_role(self) -> tuple[tuple[Role, tuple[str, ...]], ...]:
        """All assignments, the executors of every skill taken together."""
        executors = tuple(model for models in self.executors.values() for model in models)
        return (
            (Role.GENERALIST, self.generalist),
            (Role.PLANNER, self.planner),
            (Role.EXECUTOR, executors),
            (Role.VERIFIER, self.verifier),
            (Role.SYNTHESIZER, self.synthesizer),
        )


@dataclass(frozen=True, slots=True)
class DirectRule:
    """`auto` orchestrates when the prompt shows at least `min_cues` matches of the regular expressions `cues`.

    Prompts of more than `max_prompt_chars` are answered directly.
    """

    cues: tuple[str, ...] = ()
    min_cues: int = 2
    max_prompt_chars: int = 20_000


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Limits of one request over all calls below it: calls, prompt and completion tokens, seconds, tasks of a plan.

    `gpu_s` are device-seconds; None: no limit. `depth` is how deep plans may stand in each other: 1 is one plan, with
    2 a task of it may be planned again.
    """

    calls: int = 32
    tokens: int = 16_000
    wall_s: float = 120
    tasks: int = 16
    gpu_s: float | None = None
    depth: int = 2

    def lowered(self, wish: BudgetWish) -> BudgetLimits:
        """With what a caller wants to spend at most; a wish for more than these limits changes nothing."""
        if wish == _NO_WISH:
            return self
        return replace(
            self,
            calls=_least(self.calls, wish.calls),
            tokens=_least(self.tokens, wish.tokens),
            wall_s=_least(self.wall_s, wish.wall_s),
            gpu_s=wish.gpu_s if self.gpu_s is None else _least(self.gpu_s, wish.gpu_s),
        )

    def times(self, factor: float) -> BudgetLimits:
        """All of it `factor` times, but for the tasks of a plan and their depth."""
        return replace(
            self,
            calls=max(1, round(self.calls * factor)),
            tokens=max(1, round(self.tokens * factor)),
            wall_s=self.wall_s * factor,
            gpu_s=None if self.gpu_s is None else self.gpu_s * factor,
        )


def _least(limit: Number, wish: Number | None) -> Number:
    return limit if wish is None else min(limit, wish)


PASSTHROUGH_LIMITS = BudgetLimits(calls=1, tokens=4_000_000, wall_s=3600, tasks=1)
"""A caller who names a model is bound by that model's context; these limits only end what runs away."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Longest answer (tokens) of one call of a role, and the temperature of its first attempt."""

    max_tokens: int = 512
    temperature: float = 0.0


_DEFAULT_SAMPLING = Sampling()


@dataclass(frozen=True, slots=True)
class Verification:
    """A result passes at `threshold`; else up to `repair_attempts` fresh samples are drawn at `repair_temperature`,
    and up to `other_model_attempts` by other models of the skill.

    Where none of them passes, up to `replans` other plans are tried. `thresholds` are measured ones, by verifier and
    task class (the skill); `threshold` is for all others. `infer_checks`: an instruction that is an expression and
    nothing else is reckoned, not only where the plan says so.
    """

    enabled: bool = True
    threshold: float = 0.5
    repair_attempts: int = 2
    repair_temperature: float = 0.8
    replans: int = 1
    infer_checks: bool = True
    other_model_attempts: int = 1
    thresholds: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def threshold_of(self, verifier: str, skill: str) -> tuple[float, bool]:
        """The probability from which on a result passes, and whether it was measured for this verifier and class."""
        measured = self.thresholds.get((verifier, skill))
        return (self.threshold, False) if measured is None else (measured, True)

    def times(self, factor: float) -> Verification:
        """With `factor` times as many repairs and replans, rounded up."""
        return replace(
            self,
            repair_attempts=math.ceil(self.repair_attempts * factor),
            replans=math.ceil(self.replans * factor),
        )


@dataclass(frozen=True, slots=True)
class CoordinatorOptions:
    """Everything the coordinator is told at start. `sampling` may leave roles out; they get the defaults.

    `families` says which family each model of the pool belongs to, `tasks` what its engines make of a prompt (text,
    where it says nothing), `image_readers` which of them read images.
    `rules` choose a strategy in order; where none matches, `orchestrated` answers what `direct` says has enough cues,
    `easy` all else. `allowed` are the strategies that may be used (None: all), `efforts` changes all of this.
    `permitted` is what the tenant's policy allows of them (None: all): nothing is exempt from it.
    `early_start`: the steps of a plan are carried out while the planner still writes the rest.
    """

    roles: Roles
    virtual_model: str = "auto"
    direct: DirectRule = field(default_factory=DirectRule)
    rules: tuple[Rule, ...] = ()
    easy: str = DIRECT
    orchestrated: str = PLAN_EXECUTE_VERIFY
    cascade: CascadeOptions = field(default_factory=CascadeOptions)
    best_of_n: BestOfNOptions = field(default_factory=BestOfNOptions)
    self_consistency: SelfConsistencyOptions = field(default_factory=SelfConsistencyOptions)
    allow_choice: bool = False
    allowed: tuple[str, ...] | None = None
    permitted: frozenset[str] | None = None
    efforts: Mapping[Effort, EffortLimits] = field(default_factory=lambda: DEFAULT_EFFORTS)
    budget: BudgetLimits = field(default_factory=BudgetLimits)
    passthrough_budget: BudgetLimits = PASSTHROUGH_LIMITS
    verification: Verification = field(default_factory=Verification)
    early_start: bool = True
    sampling: Mapping[Role, Sampling] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, EngineTask] = field(default_factory=dict)
    image_readers: frozenset[str] = frozenset()

    def generalists_for(self, request: ChatRequest) -> tuple[str, ...]:
        """Who may answer it in one call: where it has images, those who read them."""
        generalists = self.roles.generalist
        return tuple(m for m in generalists if m in self.image_readers) if request.has_images else generalists

    def task_of(self, model_id: str) -> EngineTask:
        """What a model's engines make of a prompt."""
        return self.tasks.get(model_id, EngineTask.GENERATE)

    def sampling_of(self, role: Role) -> Sampling:
        """Sampling of one role."""
        return self.sampling.get(role, _DEFAULT_SAMPLING)

    def permits(self, strategy: str) -> bool:
        """Whether the tenant's policy allows it."""
        return self.permitted is None or strategy in self.permitted

    def within(self, strategies: frozenset[str] | None) -> CoordinatorOptions:
        """What holds for requests that a policy allows these strategies."""
        then = self.cascade.then
        goes_on = then is None or strategies is None or then in strategies
        cascade = self.cascade if goes_on else replace(self.cascade, then=None)
        return replace(self, permitted=strategies, cascade=cascade)

    def unverified(self) -> CoordinatorOptions:
        """The same, with results taken as they come."""
        return replace(self, verification=replace(self.verification, enabled=False))

    def at(self, effort: Effort) -> CoordinatorOptions:
        """What holds for requests of this effort."""
        limits = self.efforts.get(effort, EffortLimits())
        verification = self.verification.times(limits.attempts_factor)
        cues, then = self.direct.min_cues, self.cascade.then
        goes_on = limits.strategies is None or then in limits.strategies
        return replace(
            self,
            allowed=limits.strategies,
            budget=self.budget.times(limits.budget_factor),
            verification=replace(verification, enabled=verification.enabled and limits.verify),
            cascade=replace(self.cascade, then=then if goes_on else None),
            best_of_n=self.best_of_n.times(limits.attempts_factor),
            self_consistency=self.self_consistency.times(limits.attempts_factor),
            direct=replace(self.direct, min_cues=cues if limits.min_cues is None else min(cues, limits.min_cues)),
        )
