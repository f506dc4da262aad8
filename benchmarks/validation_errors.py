"""How far simulated figures are from measured ones, beside how far two measurements are from each other. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import mean
from typing import Any, Final

from rich.table import Table

from appliance.capacity.profile import Profile
from benchmarks.validation_loads import LOADS, Figures, Load, predicted, slo_of

BELOW: Final = 0.9
"""Errors of latencies are judged up to this part; beyond it a queue grows with each percent of rate."""
WANTED: Final = {"throughput": 0.03, "e2e_mean": 0.05, "e2e_p99": 0.09, "ttft_mean": 0.10, "knee": 0.10}


def compared(
    profiles: Sequence[Profile], traffic: str, rows: Sequence[dict[str, Any]], reference_s: float
) -> dict[str, Any]:
    """One class of traffic: `as_it_is`, the simulator with these profiles; `at_its_speed`, the same of a machine that
    was slower or faster around each load by what the reference took then, and `reference_s` beside the profiles.
    """
    return {
        "as_it_is": _compared(profiles, traffic, rows, lambda _: 1.0),
        "at_its_speed": _compared(profiles, traffic, rows, lambda row: float(row["reference_s"]) / reference_s),
    }


def _compared(
    profiles: Sequence[Profile],
    traffic: str,
    rows: Sequence[dict[str, Any]],
    slowness: Callable[[dict[str, Any]], float],
) -> dict[str, Any]:
    """Each rate, and the knee; the SLO is the first profile's, as it was for the loads."""
    points = []
    for part in LOADS:
        of_part = [row for row in rows if row["load"]["part"] == part]
        if not of_part:
            continue
        said, slow = of_part[0]["load"], list(map(slowness, of_part))
        load = Load(traffic, part, said["rate"], tuple((at, kind, n) for at, kind, n in said["draws"]))
        measured = [Figures(**row["measured"]) for row in of_part]
        at_speed = [{each: predicted(profile, load, each) for each in set(slow)} for profile in profiles]
        simulated = [[of_profile[each] for each in slow] for of_profile in at_speed]
        points.append({"part": part, "rate": load.rate, "slowness": slow, **_point(measured, simulated)})
    slo_s = slo_of(profiles[0], traffic)
    measured_knee = crossing([(p["rate"], p["e2e_p95"]["measured"]) for p in points], slo_s)
    simulated_knee = crossing([(p["rate"], p["e2e_p95"]["simulated"]) for p in points], slo_s)
    knee = {"slo_p95_s": slo_s, "measured": measured_knee, "simulated": simulated_knee}
    if measured_knee and simulated_knee:
        knee["error"] = simulated_knee / measured_knee - 1
    below = [point for point in points if point["part"] <= BELOW]
    judged = dict.fromkeys(("e2e_mean", "e2e_p99", "ttft_mean"), below) | {"throughput": points}

    def over_points(figure: str) -> dict[str, float]:
        return {name: mean(abs(point[name][figure]) for point in judged[name]) for name in WANTED if name in judged}

    return {
        "points": points,
        "errors": over_points("error"),
        "measured_twice": over_points("twice"),
        "knee": knee,
    }


def _point(measured: Sequence[Figures], simulated: Sequence[Sequence[Figures]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "failed": [each.failed for each in measured],
        "simulated_failed": [each.failed for of_profile in simulated for each in of_profile],
    }
    for name in ("throughput", "e2e_mean", "e2e_p95", "e2e_p99", "ttft_mean"):
        values = [getattr(each, name) for each in measured]
        by_profile = [mean(getattr(each, name) for each in of_profile) for of_profile in simulated]
        middle, said = mean(values), mean(by_profile)
        spread = (max(values) - min(values)) / middle if middle else 0.0
        found[name] = {
            "measured": middle,
            "simulated": said,
            "by_profile": by_profile,
            "error": said / middle - 1,
            "twice": spread,
        }
    return found


def crossing(points: Sequence[tuple[float, float]], slo_s: float) -> float | None:
    """The rate at which the P95 goes beyond the SLO for good, between two rates on a straight line; None: nowhere."""
    if points and points[-1][1] <= slo_s:
        return None
    for (low, p_low), (high, p_high) in reversed(list(pairwise(points))):
        if p_low <= slo_s < p_high:
            return low + (high - low) * (slo_s - p_low) / (p_high - p_low)
    return None


def table(found: dict[str, Any], fast: str) -> Table:
    """Errors beside what was wanted, and beside measuring twice; the machine is as `fast` as this."""
    title = f"Simulated against measured, the machine as fast {fast}: mean error (measured twice)"
    shown = Table(title=title, title_justify="left")
    for heading in ("", *(f"{name} ≤ {limit:.0%}" for name, limit in WANTED.items())):
        shown.add_column(heading)
    for traffic, each in found.items():
        cells = [f"{error:.1%} ({each['measured_twice'][name]:.1%})" for name, error in each["errors"].items()]
        knee = each["knee"].get("error")
        shown.add_row(traffic, *cells, "not crossed" if knee is None else f"{knee:+.1%}")
    return shown
