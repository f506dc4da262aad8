"""The same team without its verifier: where what it finds is not worth what it takes."""

from __future__ import annotations

from appliance.coordinator.run import Run
from appliance.coordinator.strategies.plan_execute_verify import PlanExecuteVerify


class PlanExecute(PlanExecuteVerify):
    """Plan → execute → synthesise. A result that is empty or cut off is still made again."""

    async def answer(self, run: Run) -> str:
        """Say the progress as it is made, then the answer."""
        run.options = run.options.unverified()
        return await super().answer(run)
