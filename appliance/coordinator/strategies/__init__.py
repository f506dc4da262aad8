"""Ways to answer, one per file."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.coordinator.strategies.direct import Direct
from appliance.coordinator.strategies.passthrough import Passthrough
from appliance.coordinator.strategies.plan_execute_verify import PlanExecuteVerify
from appliance.coordinator.strategies.strategy import Strategy
from appliance.domain.strategy import DIRECT, PASSTHROUGH, PLAN_EXECUTE_VERIFY


def default_strategies() -> Mapping[str, Strategy]:
    """All strategies of the house, by the names that the router gives."""
    return {DIRECT: Direct(), PASSTHROUGH: Passthrough(), PLAN_EXECUTE_VERIFY: PlanExecuteVerify()}
