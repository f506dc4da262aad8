"""Settings → the coordinator's options, under the coordinator's own types."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.config import Settings
from appliance.config.routing import RuleSettings
from appliance.coordinator.options import (
    BudgetLimits,
    CoordinatorOptions,
    DirectRule,
    Roles,
    Sampling,
    Verification,
)
from appliance.coordinator.routing_options import Condition, EffortLimits, Rule
from appliance.coordinator.strategy_options import BestOfNOptions, CascadeOptions, SelfConsistencyOptions
from appliance.domain.model import Model, Role
from appliance.domain.request import Effort


def coordinator_options(settings: Settings) -> CoordinatorOptions:
    """What the configuration says about answering."""
    said = settings.coordinator
    return CoordinatorOptions(
        roles=_roles(settings),
        virtual_model=said.virtual_model,
        direct=DirectRule(**said.direct.model_dump()),
        rules=tuple(_rule(rule) for rule in said.rules),
        easy=said.easy,
        orchestrated=said.orchestrated,
        cascade=CascadeOptions(**said.cascade.model_dump()),
        best_of_n=BestOfNOptions(**said.best_of_n.model_dump()),
        self_consistency=SelfConsistencyOptions(**said.self_consistency.model_dump()),
        allow_choice=said.allow_choice,
        efforts={effort: EffortLimits(**allows.model_dump()) for effort, allows in said.effort.by_effort()},
        budget=BudgetLimits(**said.budget.model_dump()),
        verification=Verification(**said.verification.model_dump()),
        early_start=said.early_start,
        sampling={Role(role): Sampling(**limits.model_dump()) for role, limits in said.limits.items()},
    )


def tool_callers(settings: Settings, models: Mapping[str, Model]) -> frozenset[str]:
    """The models whose engines are started with a parser for calls of tools."""
    by_hand = {member.model for member in settings.pool if "--tool-call-parser" in " ".join(member.engine.extra_args)}
    return frozenset(by_hand | {model_id for model_id, model in models.items() if model.tool_parser})


def _roles(settings: Settings) -> Roles:
    said = settings.roles
    return Roles(
        generalist=said.generalist,
        planner=said.planner,
        executors=dict(said.executors),
        verifier=said.verifier,
        synthesizer=said.synthesizer,
    )


def _rule(said: RuleSettings) -> Rule:
    when = said.when.model_dump() | {"effort": tuple(Effort(effort) for effort in said.when.effort)}
    return Rule(said.name, said.use, Condition(**when))
