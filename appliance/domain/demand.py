"""What requests ask of the pool: how often each role is called, with how many tokens, and how many requests come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoleDemand:
    """Calls of one role (or of one executor skill) per whole request, and the tokens of one call."""

    calls: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Demand:
    """`roles` pairs a role key (`planner`, `executors.math`, …) with its calls; None wanted: as many as can be had."""

    roles: tuple[tuple[str, RoleDemand], ...] = ()
    requests_per_s: float | None = None

    def of(self, role: str) -> RoleDemand | None:
        """Calls of one role, None where no request calls it."""
        return next((demand for key, demand in self.roles if key == role and demand.calls > 0), None)
