"""Ways to answer, one per file."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.coordinator.router import DIRECT, ORCHESTRATED, PASSTHROUGH
from appliance.coordinator.strategies.direct import Direct
from appliance.coordinator.strategies.passthrough import Passthrough
from appliance.coordinator.strategies.plan_execute_verify import PlanExecuteVerify
from appliance.coordinator.strategies.strategy import Strategy


def default_strategies() -> Mapping[str, Strategy]:
    """All strategies of the house, by the names that the router gives."""
    return {DIRECT: Direct(), PASSTHROUGH: Passthrough(), ORCHESTRATED: PlanExecuteVerify()}
