"""The section `coordinator`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from appliance.config.policy import LimitsSettings
from appliance.config.routing import EffortsSettings, Pattern, RuleSettings, rule_problems, unknown
from appliance.config.section import Section
from appliance.config.strategies import BestOfNSettings, CascadeSettings, SelfConsistencySettings, unknown_models
from appliance.domain.identifier import Identifier
from appliance.domain.strategy import BUILT_IN, DIRECT, PASSTHROUGH, PLAN_EXECUTE_VERIFY

DottedPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class DirectRule(Section):
    """When `auto` orchestrates: the prompt shows at least `min_cues` matches of the `cues` taken together."""

    cues: tuple[Pattern, ...] = ()
    """Regular expressions; each match counts once."""
    min_cues: int = Field(2, ge=0)
    """Fewer matches than this: the generalist answers directly."""
    max_prompt_chars: int = Field(20_000, ge=1)
    """Longer prompts are answered directly."""


class BudgetSettings(Section):
    """Limits of one request, over all calls below it. A caller may lower them for a request of its own."""

    calls: int = Field(32, ge=1)
    """Engine calls."""
    tokens: int = Field(16_000, ge=16)
    """Prompt and completion tokens together."""
    wall_s: float = Field(120, gt=0)
    """Seconds."""
    tasks: int = Field(16, ge=1)
    """Tasks in a plan."""
    gpu_s: float | None = Field(None, gt=0)
    """Device-seconds: calls that run beside each other on an engine share the time of its GPUs, and an engine on the
    CPU counts as one device. Null: no limit."""
    depth: int = Field(2, ge=1, le=8)
    """How deep plans may stand in each other: 1 is one plan, with 2 a task of it may be planned again."""


class RoleLimits(Section):
    """Sampling of one role."""

    max_tokens: int = Field(512, ge=1)
    """Longest answer of one call."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature of the first attempt."""


class VerificationSettings(Section):
    """How results are judged and mended."""

    enabled: bool = True
    """Off: results are taken as they come."""
    threshold: float = Field(0.5, ge=0, le=1)
    """A result passes when the verifier's probability of `pass` is at least this."""
    repair_attempts: int = Field(2, ge=0, le=16)
    """Fresh samples after a failed verdict, with the failed result and the reason shown where the prompt set can. When
    no attempt passes, the one with the highest probability is taken."""
    other_model_attempts: int = Field(1, ge=0, le=8)
    """Attempts after those by other models of the skill, where `roles.executors` names more than one."""
    repair_temperature: float = Field(0.8, ge=0, le=2)
    """Sampling temperature of those, and of another plan where the planner's prompt set resamples."""
    infer_checks: bool = True
    """Where an instruction asks for the value of an arithmetic expression and nothing else, reckon it exactly instead
    of asking a verifier. Checks that a plan asks for are always made."""
    replans: int = Field(1, ge=0, le=4)
    """Other plans to try when a task fails verification in every attempt. When none of them passes as a whole, the
    first one is carried on with the likeliest results."""


class LearnedSettings(Section):
    """The learned router (`appliance router`). Rules come before it, cues after it."""

    use: Literal["promoted", "shadow", "off"] = "promoted"
    """`promoted`: the promoted head decides, where there is one. `shadow`: the newest candidate decides on paper only,
    and traces and metrics show what it would have done. `off`: no head is asked."""
    embedder: Identifier | None = None
    """Model of the pool whose embedding of the prompt heads take beside its text: one call of `/v1/embeddings`, made
    where no rule decided. A head made with another one, or with none, does not count. Null: text alone."""
    embed_timeout_s: float = Field(0.25, gt=0, le=10)
    """Where the embedding takes longer, or fails, the head is not asked and the trace says so."""


class CoordinatorSettings(Section):
    """How `auto` answers."""

    virtual_model: Identifier = "auto"
    """Name under which callers reach the coordinator."""
    strategies: dict[Identifier, DottedPath] = Field(default_factory=dict)
    """Further strategies: name → `package.module:Class` of a class without arguments that has the method `answer`."""
    easy: Identifier = DIRECT
    """Strategy of requests with few cues."""
    orchestrated: Identifier = PLAN_EXECUTE_VERIFY
    """Strategy of requests with enough cues."""
    rules: tuple[RuleSettings, ...] = ()
    """Rules that come before the cues, in order: the first that matches decides."""
    learned: LearnedSettings = Field(default_factory=lambda: LearnedSettings())
    """Whether a learned head chooses where no rule does."""
    cascade: CascadeSettings = Field(default_factory=lambda: CascadeSettings())
    """Settings of the strategy `cascade`."""
    best_of_n: BestOfNSettings = Field(default_factory=lambda: BestOfNSettings())
    """Settings of the strategy `best_of_n`."""
    self_consistency: SelfConsistencySettings = Field(default_factory=lambda: SelfConsistencySettings())
    """Settings of the strategy `self_consistency`."""
    effort: EffortsSettings = Field(default_factory=lambda: EffortsSettings())
    """What each effort allows."""
    allow_choice: bool = False
    """Callers may choose the strategy with the body field `strategy`: for evaluations and replays."""
    direct: DirectRule = Field(default_factory=lambda: DirectRule())
    """The rule that chooses between direct and orchestrated."""
    budget: BudgetSettings = Field(default_factory=lambda: BudgetSettings())
    """Limits of one request."""
    tenant_budget: LimitsSettings = Field(default_factory=lambda: LimitsSettings())
    """Limits of each tenant whose policy does not say otherwise (`policy.policies.NAME.limits`)."""
    verification: VerificationSettings = Field(default_factory=lambda: VerificationSettings())
    """How results are judged and mended."""
    early_start: bool = True
    """Carry out the steps of a plan while the planner still writes the rest of it."""
    limits: dict[Literal["planner", "executor", "verifier", "synthesizer", "generalist"], RoleLimits] = Field(
        default_factory=dict
    )
    """Sampling by role."""

    def known_strategies(self) -> tuple[str, ...]:
        """Names that `auto` may be answered with."""
        return (*BUILT_IN, *self.strategies)

    def problems(self, pool: Collection[str], *, can_plan: bool) -> Iterator[str]:
        """Names that are not there and rules that can't be meant so, each with its key and the way out."""
        known = self.known_strategies()
        named = [("easy", self.easy), ("orchestrated", self.orchestrated)]
        for effort, allows in self.effort.by_effort():
            named += [(f"effort.{effort.value}.strategies", name) for name in allows.strategies or ()]
        yield from (unknown(key, name, known) for key, name in named if name not in known)
        yield from rule_problems(self.rules, known)
        if self.learned.embedder is not None:
            yield from unknown_models("learned.embedder", (self.learned.embedder,), pool)
        yield from self.cascade.problems(known, can_plan=can_plan)
        for key, models in (
            ("cascade.models", self.cascade.models),
            ("best_of_n.models", self.best_of_n.models),
            ("self_consistency.models", self.self_consistency.models),
        ):
            yield from unknown_models(key, models, pool)
        for name in self.strategies:
            if name in (*BUILT_IN, PASSTHROUGH):
                yield f"coordinator.strategies.{name}: the house has a strategy of this name; choose another one"
