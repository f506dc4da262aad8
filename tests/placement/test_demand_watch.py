"""When a demand has moved, and that a swinging one moves nothing."""

from __future__ import annotations

import pytest

from appliance.domain.demand import Demand, RoleDemand
from appliance.placement.demand_watch import (
    DemandWatch,
    DriftPolicy,
    RoleTally,
    Tally,
    after_window,
    differences,
    measured,
    moved,
)

POLICY = DriftPolicy(factor=2.0, windows=3)
ASSUMED = Demand((("planner", RoleDemand(1, 500, 100)), ("executors.math", RoleDemand(2, 500, 100))), 5.0)


def tally(planner: int, math: int, requests: int = 10, each: int = 100) -> Tally:
    """Calls of two roles with the prompts of the assumed demand."""
    calls = {"planner": planner, "executors.math": math}
    return Tally(requests, {role: RoleTally(n, 500 * n, each * n) for role, n in calls.items() if n})


AS_ASSUMED, MATH, PLANS = tally(10, 20), tally(10, 200), tally(40, 4)


def after(*windows: Tally, watch: DemandWatch | None = None) -> DemandWatch:
    watch = watch or DemandWatch(ASSUMED)
    for window in windows:
        watch = after_window(watch, window, POLICY)
    return watch


def test_measured_demand_keeps_the_wish_and_a_part_of_roles_that_were_not_called() -> None:
    found = measured(tally(0, 30, each=50), ASSUMED)
    assert found == Demand((("planner", RoleDemand(0.1, 500, 100)), ("executors.math", RoleDemand(3, 500, 50))), 5.0)


def test_a_role_that_nobody_planned_for_counts() -> None:
    found = measured(Tally(10, {"generalist": RoleTally(10, 1000, 5000)}), ASSUMED)
    assert found.of("generalist") == RoleDemand(1, 100, 500)
    assert any(line.startswith("generalist bears") for line in differences(ASSUMED, found, 2.0))


@pytest.mark.parametrize(
    ("window", "differs"),
    [(AS_ASSUMED, False), (MATH, True), (PLANS, True), (tally(10, 20, each=400), False), (tally(1000, 2000), False)],
)
def test_what_differs_is_each_role_s_part_of_the_load(window: Tally, differs: bool) -> None:
    assert bool(differences(ASSUMED, measured(window, ASSUMED), POLICY.factor)) == differs


def test_a_demand_has_moved_after_enough_windows_in_a_row() -> None:
    assert moved(after(MATH, MATH), POLICY) is None
    found = moved(after(MATH, MATH, MATH), POLICY)
    assert found is not None
    assert found.of("executors.math") == RoleDemand(20, 500, 100)
    assert moved(after(MATH, MATH, AS_ASSUMED, MATH, MATH), POLICY) is None


def test_a_demand_that_swings_around_the_plan_moves_nothing() -> None:
    watch = DemandWatch(ASSUMED)
    for number in range(50):
        watch = after(MATH if number % 2 else AS_ASSUMED, watch=watch)
        assert moved(watch, POLICY) is None


def test_a_demand_that_swings_elsewhere_is_planned_for_with_its_mean_once() -> None:
    watch, found = DemandWatch(ASSUMED), []
    for number in range(60):
        watch = after(PLANS if number % 2 else tally(2, 40), watch=watch)
        demand = moved(watch, POLICY)
        if demand is not None:
            found.append(demand)
            watch = DemandWatch(demand)
    assert len(found) <= 1
