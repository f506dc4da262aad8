"""Bytes, rates and shares as the integers that CP-SAT wants; rounded so that no promise is ever too large."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from ortools.sat.python import cp_model

MEBIBYTE = 2**20
SHARES = 1000
"""A device's time is dealt out in parts of this."""
RATE_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps of the rate: `step` whole requests per second each."""

    step: float

    @property
    def rate_top(self) -> int:
        """The largest rate in steps."""
        return 2 * RATE_STEPS

    def rate(self, per_second: float | None) -> int:
        """Steps, rounded down; what is far beyond the top is cut there."""
        return min(RATE_STEPS * 200, floor((per_second or 0.0) / self.step))

    def rate_up(self, per_second: float | None) -> int:
        """Steps, rounded up, for bounds."""
        return min(RATE_STEPS * 200, ceil((per_second or 0.0) / self.step))

    def per_second(self, steps: float) -> float:
        """Back again."""
        return steps * self.step


def scale_for(highest_rate: float) -> Scale:
    """Steps fine enough for a rate that is at most `highest_rate`."""
    return Scale(max(highest_rate, 1e-9) / RATE_STEPS)


def mebibytes_up(value: int) -> int:
    """What an engine takes."""
    return ceil(value / MEBIBYTE)


def mebibytes_down(value: int) -> int:
    """What a device has."""
    return max(0, floor(value / MEBIBYTE))


def solver_of(effort: float) -> cp_model.CpSolver:
    """One worker, a fixed seed and a deterministic limit: the same input gives the same answer on any machine."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.interleave_search = True
    solver.parameters.max_deterministic_time = effort
    return solver
