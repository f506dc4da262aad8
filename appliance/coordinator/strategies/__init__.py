"""Ways to answer, one per file."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.coordinator.strategies.best_of_n import BestOfN
from appliance.coordinator.strategies.cascade import Cascade
from appliance.coordinator.strategies.direct import Direct
from appliance.coordinator.strategies.passthrough import Passthrough
from appliance.coordinator.strategies.plan_execute import PlanExecute
from appliance.coordinator.strategies.plan_execute_verify import PlanExecuteVerify
from appliance.coordinator.strategies.self_consistency import SelfConsistency
from appliance.coordinator.strategies.strategy import Strategy
from appliance.domain.strategy import (
    BEST_OF_N,
    CASCADE,
    DIRECT,
    PASSTHROUGH,
    PLAN_EXECUTE,
    PLAN_EXECUTE_VERIFY,
    SELF_CONSISTENCY,
)


def default_strategies(further: Mapping[str, Strategy] | None = None) -> Mapping[str, Strategy]:
    """All strategies of the house by name, and `further` ones: a cascade may go on with any of them."""
    strategies: dict[str, Strategy] = {
        DIRECT: Direct(),
        PASSTHROUGH: Passthrough(),
        BEST_OF_N: BestOfN(),
        SELF_CONSISTENCY: SelfConsistency(),
        PLAN_EXECUTE_VERIFY: PlanExecuteVerify(),
        PLAN_EXECUTE: PlanExecute(),
        **(further or {}),
    }
    strategies[CASCADE] = Cascade(strategies)
    return strategies
