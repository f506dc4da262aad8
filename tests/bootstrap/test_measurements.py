"""Measured starts are kept, counted by the next plan, and compared with this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bootstrap.calibrations import calibrations_file, keep_calibration, read_calibrations
from appliance.bootstrap.lineup import Lineup, decide
from appliance.bootstrap.measurements import Measurements
from appliance.domain.engine import EngineSpec
from appliance.engines.start_log import StartFigures
from appliance.placement.calibration import Calibration, CalibrationKey
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION
from tests.bootstrap.machine import GIB, gpu_pool, settings_of
from tests.cli.pool import Pool, make_pool

PORTS = range(9000, 9100)
CPU_START = StartFigures(DEFAULT_VLLM_VERSION, kv_bytes=1_000_000, kv_tokens=100)


def start(weights_bytes: int = 1_000_000, version: str = DEFAULT_VLLM_VERSION) -> StartFigures:
    return StartFigures(version, weights_bytes, 1_000_000, 100, 0)


def lineup_of(pool: Pool) -> tuple[Lineup, tuple[EngineSpec, ...]]:
    settings = settings_of(pool)
    settings.data_dir.mkdir(exist_ok=True)
    lineup = decide(settings)
    return lineup, lineup.specs(PORTS)


def booked(lineup: Lineup, engine_id: str) -> int:
    assert lineup.plan is not None
    return next(engine.booked_bytes for engine in lineup.plan.engines if engine.engine_id == engine_id)


def kept(lineup: Lineup) -> dict[CalibrationKey, Calibration]:
    return dict(read_calibrations(calibrations_file(lineup.settings.data_dir)))


def test_an_engine_within_its_plan_is_kept_without_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineup, specs = lineup_of(gpu_pool(tmp_path, monkeypatch))
    judge = Measurements(lineup, specs)
    assert judge("fake-math-0", start(), 2 * GIB) == ""
    ((key, calibration),) = kept(lineup).items()
    assert (key.model_id, key.gpu_name, key.vllm_version) == ("fake-math", "NVIDIA L4", DEFAULT_VLLM_VERSION)
    assert calibration.weights_bytes == 1_000_000


def test_an_engine_that_took_more_is_told_and_counts_in_the_next_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    lineup, specs = lineup_of(pool)
    before = booked(lineup, "fake-math-0")
    judge = Measurements(lineup, specs)
    remark = judge("fake-math-0", start(), before + GIB)
    assert "1.00 GiB more than planned" in remark
    assert judge("fake-math-0", start(), before + GIB) == remark
    again, _ = lineup_of(pool)
    assert booked(again, "fake-math-0") >= before + GIB
    assert booked(again, "fake-planner-0") == booked(lineup, "fake-planner-0")


def test_a_later_look_that_found_more_replaces_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineup, specs = lineup_of(gpu_pool(tmp_path, monkeypatch))
    judge = Measurements(lineup, specs)
    sizes = []
    for measured in (5 * GIB, 6 * GIB, 4 * GIB):
        judge("fake-math-0", start(), measured)
        (calibration,) = kept(lineup).values()
        sizes.append(calibration.measured_overhead_bytes)
    assert sizes[1] == sizes[2] == sizes[0] + GIB


def test_where_nvml_is_blind_the_weights_of_the_log_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineup, specs = lineup_of(gpu_pool(tmp_path, monkeypatch))
    judge = Measurements(lineup, specs)
    assert "2.00 GiB of weights" in judge("fake-math-0", start(weights_bytes=2 * GIB), None)
    assert len(kept(lineup)) == 1


def test_another_version_of_vllm_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    lineup, specs = lineup_of(pool)
    before = booked(lineup, "fake-math-0")
    Measurements(lineup, specs)("fake-math-0", start(version="0.31.0"), before + GIB)
    again, _ = lineup_of(pool)
    assert booked(again, "fake-math-0") == before


def test_a_log_that_tells_no_version_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineup, specs = lineup_of(gpu_pool(tmp_path, monkeypatch))
    assert Measurements(lineup, specs)("fake-math-0", StartFigures(), None) == ""
    assert kept(lineup) == {}


def test_on_the_cpu_the_proportional_set_size_is_kept_and_counts(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    lineup, specs = lineup_of(pool)
    remark = Measurements(lineup, specs)(specs[0].engine_id, CPU_START, 3 * GIB)
    assert "3.00 GiB of memory" in remark
    again, _ = lineup_of(pool)
    assert again.planned_bytes(specs[0]) == 3 * GIB


def test_a_file_that_can_not_be_read_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineup, specs = lineup_of(gpu_pool(tmp_path, monkeypatch))
    file = calibrations_file(lineup.settings.data_dir)
    file.write_text('[{"key": 1}]')
    assert read_calibrations(file) == {}
    Measurements(lineup, specs)("fake-math-0", start(), None)
    (calibration,) = read_calibrations(file).values()
    keep_calibration(file, calibration)
    assert len(read_calibrations(file)) == 1
    assert [path.name for path in file.parent.iterdir()] == [file.name]
