"""Money and energy: sums that can be followed by hand."""

from __future__ import annotations

import pytest

from appliance.capacity.demand import load_of
from appliance.capacity.expense import expense
from appliance.capacity.hardware import load_hardware
from appliance.capacity.setup import EnginePlace
from tests.capacity import profiles

KIND = load_hardware()["l40s"]
LOAD = load_of(600, 0)  # 1 request/s, 28,800 a day
PLACES = (EnginePlace("a", profiles.engine(), "n/0"), EnginePlace("b", profiles.engine(), "n/1+2"))


def test_a_day_of_gpus_is_shared_by_a_day_of_requests() -> None:
    found = expense(KIND, 3, LOAD, PLACES, {"a": 0.0, "b": 0.0})
    assert found.money == pytest.approx(3 * KIND.price_per_hour.value * 24 / 28.8)
    assert "per GPU-hour (example" in found.money_source


def test_idle_gpus_draw_something_and_busy_ones_more() -> None:
    idle = expense(KIND, 3, LOAD, PLACES, {"a": 0.0, "b": 0.0}).energy_wh
    assert idle.expected == pytest.approx(3 * 350 * 0.2 / 3600 * 1000)
    busy = expense(KIND, 3, LOAD, PLACES, {"a": 1.0, "b": 1.0}).energy_wh
    assert busy.high == pytest.approx(3 * 350 / 3600 * 1000)
    assert idle.low < idle.expected < busy.low < busy.expected < busy.high


def test_engines_beside_each_other_keep_a_gpu_busy_once() -> None:
    beside = (EnginePlace("a", profiles.engine(), "n/0"), EnginePlace("b", profiles.engine(), "n/0"))
    both = expense(KIND, 1, LOAD, beside, {"a": 0.8, "b": 0.8}).energy_wh
    assert both.high == pytest.approx(350 / 3600 * 1000)
