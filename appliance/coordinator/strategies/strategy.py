"""What every strategy is: one way to answer a request."""

from __future__ import annotations

from typing import Protocol

from appliance.coordinator.run import Run


class Strategy(Protocol):
    """A way to answer. Stateless: one instance serves all requests at once."""

    async def answer(self, run: Run) -> str:
        """Say the answer through `run` and return its finish reason.

        Raises RoleFailed (the coordinator falls back where it can) and BudgetExhausted.
        """
