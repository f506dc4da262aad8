from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.bootstrap.energy import EnergyLog, EnergySampler
from appliance.domain.fleet import EngineFigures, Fleet
from tests.gateway.door import engine


def log(*readings: tuple[float, float], devices: int = 1) -> EnergyLog:
    made = EnergyLog()
    for at_s, energy_j in readings:
        made.note("x-0", at_s, energy_j, devices)
    return made


def test_a_call_is_charged_its_device_seconds_at_the_mean_power_of_its_time() -> None:
    made = log((10, 0), (11, 100), (12, 500), (13, 600))
    assert made.energy_j("x-0", 11.0, 12.0, 1.0) == 400.0
    assert made.energy_j("x-0", 11.2, 11.8, 0.3) == pytest.approx(0.3 * 400)
    assert made.energy_j("x-0", 10.5, 12.5, 2.0) == pytest.approx(2.0 * 200)


def test_calls_beside_each_other_share_what_the_engine_took() -> None:
    made = log((10, 0), (11, 300), devices=2)
    shares = [made.energy_j("x-0", 10.0, 11.0, gpu_s) for gpu_s in (1.0, 0.6, 0.4)]
    assert sum(share or 0 for share in shares) == pytest.approx(300)


def test_outside_of_the_readings_the_nearest_power_counts() -> None:
    made = log((10, 0), (11, 100), (12, 500))
    assert made.energy_j("x-0", 13.0, 14.0, 1.0) == 400.0
    assert made.energy_j("x-0", 5.0, 6.0, 1.0) == 100.0


def test_without_two_readings_nothing_is_known() -> None:
    assert log((10, 5)).energy_j("x-0", 10, 11, 1.0) is None
    assert log().energy_j("x-0", 10, 11, 1.0) is None
    assert log((10, 900), (11, 5)).energy_j("x-0", 10, 11, 1.0) is None, "the driver was loaded anew"


def test_a_gpu_of_several_engines_counts_for_each_in_part_and_engines_without_a_counter_not_at_all() -> None:
    fleet, made = Fleet(), EnergyLog()
    fleet.publish(tuple(engine(name) for name in ("a", "b", "cpu", "old", "none")))
    fleet.publish((*fleet.snapshot.engines[:-1], replace(engine("none"), pid=None)))
    fleet.figures = {
        "a-0": EngineFigures(("G1", "G2")), "b-0": EngineFigures(("G1",)), "old-0": EngineFigures(("G3",)),
        "none-0": EngineFigures(("G1",)),
    }  # fmt: skip
    counters: dict[str, float | None] = {"G1": 100.0, "G2": 10.0, "G3": None}
    now = iter((1.0, 2.0))
    sampler = EnergySampler(fleet, made, counters.__getitem__, lambda: next(now))
    sampler.sample()
    counters |= {"G1": 300.0, "G2": 110.0}
    sampler.sample()
    assert made.energy_j("a-0", 1.0, 2.0, 2.0) == pytest.approx(200.0), "half of G1 and all of G2"
    assert made.energy_j("b-0", 1.0, 2.0, 1.0) == pytest.approx(100.0)
    assert [made.energy_j(name, 1.0, 2.0, 1.0) for name in ("cpu-0", "old-0", "none-0")] == [None] * 3
