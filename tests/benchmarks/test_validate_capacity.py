"""The comparison of simulated and measured figures, and the simulator's loads by size."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.capacity.profile import Profile
from appliance.capacity.trees import TreeSample
from benchmarks import simulator_scale as scale
from benchmarks import validate_capacity as validate
from benchmarks import validation_errors as errors
from benchmarks import validation_loads as loads
from tests.capacity.profiles import call, direct, engine


def profile() -> Profile:
    tree = TreeSample((call("b"), call("a", waits_for=(0,))))
    of_class = {"passthrough": (direct("a"),) * loads.QUESTIONS, "plan_execute_verify": (tree,) * loads.QUESTIONS}
    return Profile((engine("a"), engine("b")), of_class)


def rows(factor: float, slowness: float = 1.0) -> list[dict[str, Any]]:
    """What the simulator says of a slower machine, twice, with all times `factor` times as long again."""
    found = []
    slo_s = loads.slo_of(profile(), "mixed")
    knee = loads.knee_of(profile(), "mixed", slo_s, 20.0)
    for number, part in enumerate(loads.LOADS):
        load = loads.load_of("mixed", part, part * knee, 20.0, number)
        said = loads.predicted(profile(), load, slowness)
        names = ("e2e_mean", "e2e_p95", "e2e_p99", "ttft_mean")
        longer = replace(said, **{name: getattr(said, name) * factor for name in names})
        row = {"load": asdict(load), "measured": asdict(longer), "reference_s": 2.0 * slowness}
        found += [row] * validate.REPEATS
    return found


def test_what_was_measured_as_simulated_has_no_error() -> None:
    found = errors.compared([profile()], "mixed", rows(1.0), 2.0)["as_it_is"]

    assert found["errors"] == pytest.approx(dict.fromkeys(found["errors"], 0.0), abs=1e-12)
    assert found["measured_twice"] == pytest.approx(dict.fromkeys(found["errors"], 0.0), abs=1e-12)
    assert found["knee"]["error"] == pytest.approx(0.0, abs=1e-12)
    assert "+0.0%" in str(errors.table({"mixed": found}, "as ever").columns[-1]._cells)


def test_the_mean_of_what_two_profiles_say_is_compared() -> None:
    slower = replace(profile(), engines=(engine("a"), replace(engine("b"), call_s=0.5)))

    def compared(*said: Profile) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = errors.compared(said, "mixed", rows(1.0), 2.0)["as_it_is"]["points"]
        return points

    one, other, both = compared(profile()), compared(slower), compared(profile(), slower)

    for first, second, mean in zip(one, other, both, strict=True):
        assert mean["e2e_mean"]["by_profile"] == [first["e2e_mean"]["simulated"], second["e2e_mean"]["simulated"]]
        assert mean["e2e_mean"]["simulated"] == pytest.approx(sum(mean["e2e_mean"]["by_profile"]) / 2)


def test_a_machine_that_was_slower_around_the_loads_is_told_from_a_simulator_that_is_wrong() -> None:
    found = errors.compared([profile()], "mixed", rows(1.0, slowness=1.3), 2.0)

    assert found["as_it_is"]["errors"]["e2e_mean"] > 0.2
    assert found["at_its_speed"]["errors"] == pytest.approx(
        dict.fromkeys(errors.WANTED.keys() - {"knee"}, 0.0), abs=1e-9
    )


def test_longer_times_are_errors_of_latency_and_a_lower_knee() -> None:
    found = errors.compared([profile()], "mixed", rows(1.25), 2.0)["as_it_is"]

    assert found["errors"]["e2e_mean"] == pytest.approx(0.2)
    assert found["errors"]["throughput"] == pytest.approx(0.0, abs=1e-12)
    assert found["knee"]["measured"] is None or found["knee"]["error"] > 0


@pytest.mark.parametrize(
    ("points", "rate"),
    [
        ([(1.0, 1.0), (2.0, 3.0)], 1.5),
        ([(1.0, 3.0), (2.0, 1.0), (3.0, 4.0)], 2.0 + 1 / 3),
        ([(1.0, 1.0), (2.0, 1.5)], None),
        ([(1.0, 1.0), (2.0, 3.0), (3.0, 1.5)], None),
    ],
)
def test_the_knee_is_where_the_slo_is_crossed_for_good(points: list[tuple[float, float]], rate: float | None) -> None:
    assert errors.crossing(points, 2.0) == (rate if rate is None else pytest.approx(rate))


def test_a_site_is_simulated_in_cells_and_its_day_is_told() -> None:
    small, large = scale.site(4, 200), scale.site(64, 800)

    assert (small["cells"], large["cells"]) == (1, 4)
    assert small["failed"] == large["failed"] == 0
    assert large["day_cost_s_one_cell"] == pytest.approx(large["day_cost_s"] / 4)
    assert small["day_cost_s"] == pytest.approx(small["cost_s"] * 86_400 / small["simulated_s"])


def test_all_stages_are_the_default_and_another_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []
    monkeypatch.setattr(validate, "_appliance", lambda: nullcontext(validate.Door("http://here", "key")))
    monkeypatch.setattr(validate, "stage_profile", lambda *said: done.append("again" if len(said) > 3 else "profile"))
    monkeypatch.setattr(validate, "stage_measure", lambda *_: done.append("measure"))

    def report(_: Path) -> dict[str, Any]:
        done.append("report")
        return {}

    monkeypatch.setattr(validate, "stage_report", report)
    monkeypatch.setattr(validate, "profile_of", lambda *_: profile())
    monkeypatch.setattr(validate, "RESULTS", tmp_path / "results.json")
    monkeypatch.setenv("APPLIANCE_DATA_DIR", "")  # which the benchmark sets for good

    validate.main(["--work", str(tmp_path)])

    assert done == ["profile", "measure", "again", "report"]
    with pytest.raises(SystemExit):
        validate.main(["--work", str(tmp_path), "measures"])
    assert "measures is no stage; they are profile, measure, again, report" in capsys.readouterr().err
