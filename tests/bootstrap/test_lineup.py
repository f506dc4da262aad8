"""What `up` starts: by the plan on GPUs, by the pool elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bootstrap.calibrations import calibrations_file, keep_calibration
from appliance.bootstrap.lineup import CPU_CARD, decide, start_key, start_shape
from appliance.domain.engine import Device
from appliance.errors import ConfigError
from appliance.placement.calibration import Calibration
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION
from tests.bootstrap.machine import GIB, L4, SECOND, gpu_pool, settings_of
from tests.cli.pool import MODELS, make_pool


def test_on_gpus_the_plan_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    pool.settings["pool"][0]["engine"] |= {"extra_args": ["--reasoning-parser", "x"], "dtype": "bfloat16"}
    lineup = decide(settings_of(pool))
    assert lineup.plan is not None
    assert len(lineup.engine_ids) == len(lineup.plan.engines) >= len(MODELS)
    ports = range(9000, 9000 + len(lineup.engine_ids))
    specs = {spec.engine_id: spec for spec in lineup.specs(ports)}
    for engine in lineup.plan.engines:
        spec = specs[engine.engine_id]
        assert spec.device is Device.CUDA
        assert spec.gpu_ids == engine.gpu_ids == (L4.uuid,)
        for name in ("tensor_parallel_size", "kv_cache_memory_bytes", "max_model_len", "max_num_seqs"):
            assert getattr(spec, name) == getattr(engine, name)
        assert spec.gpu_memory_utilization == engine.gpu_memory_utilization < 0.5
        assert lineup.planned_bytes(spec) == engine.booked_bytes
    assert [spec.port for spec in specs.values()] == list(ports)
    assert specs["fake-planner-0"].extra_args == ("--reasoning-parser", "x")
    assert sum(engine.booked_bytes for engine in lineup.plan.engines) <= L4.free_bytes


@pytest.mark.parametrize("pin", ["1", "local/1", SECOND.uuid])
def test_pins_and_replicas_of_the_pool_hold_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pin: str
) -> None:
    pool = gpu_pool(tmp_path, monkeypatch, (L4, SECOND))
    pool.settings["pool"][0] |= {"replicas": 2}
    pool.settings["pool"][1]["engine"] = {**pool.settings["pool"][1]["engine"], "gpu_ids": [pin]}
    specs = decide(settings_of(pool)).specs(range(9000, 9100))
    assert {spec.gpu_ids for spec in specs if spec.model_id == MODELS[0]} >= {(L4.uuid,), (SECOND.uuid,)}
    assert {spec.gpu_ids for spec in specs if spec.model_id == MODELS[1]} == {(SECOND.uuid,)}


def test_the_pool_is_followed_where_the_settings_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    lineup = decide(settings_of(pool, placement={"follow": "pool"}))
    assert lineup.plan is None
    specs = lineup.specs(range(9000, 9010))
    assert [(spec.model_id, spec.kv_cache_memory_bytes) for spec in specs] == [(model, 1_000_000) for model in MODELS]
    assert {spec.device for spec in specs} == {Device.CUDA}
    assert lineup.planned_bytes(specs[0]) is None


def test_what_can_not_be_placed_is_one_error_with_the_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ill = replace(SECOND, unhealthy="it fell off the bus")
    pool = gpu_pool(tmp_path, monkeypatch, (replace(L4, free_bytes=2 * GIB), ill))
    with pytest.raises(ConfigError, match=r"appliance.yaml: the pool can't be placed .*GiB.* fell off the bus"):
        decide(settings_of(pool))


def test_roles_follow_the_plan_s_order_and_models_left_out_come_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = gpu_pool(tmp_path, monkeypatch, (replace(L4, free_bytes=round(7 * GIB)),))
    manifest = tmp_path / "catalog" / "fake-verifier.yaml"
    manifest.write_text(manifest.read_text().replace("family: fake", "family: another"))
    pool.settings["roles"]["verifier"] = ["fake-math", "fake-verifier"]
    pool.settings["roles"]["executors"]["math"] = ["fake-math", "fake-generalist"]
    pool.settings["roles"]["generalist"] = ["fake-generalist", "fake-math"]
    limits = {"models": {"fake-generalist": {"replicas_min": 0}}, "turns": False}
    lineup = decide(settings_of(pool, placement=limits))
    assert lineup.plan is not None
    assert set(lineup.served) == {"fake-planner", "fake-math", "fake-verifier"}
    assert set(lineup.models) == set(MODELS)
    roles = lineup.settings.roles
    assert roles.verifier == ("fake-verifier", "fake-math")
    assert roles.executors == {"math": ("fake-math", "fake-generalist")}
    assert roles.generalist == ("fake-math", "fake-generalist")
    assert [member.model for member in lineup.settings.pool] == list(lineup.models)
    assert any("left out" in note for note in lineup.notes)
    assert lineup.settings.source == str(pool.config)


def test_engines_that_take_turns_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch, (replace(L4, free_bytes=round(8.3 * GIB)),))
    lineup = decide(settings_of(pool))
    assert lineup.plan is not None
    assert lineup.plan.turns
    turning = [spec for spec in lineup.specs(range(9000, 9010)) if spec.turn_group]
    assert {spec.sleep_level for spec in turning} == {1}


def test_on_the_cpu_the_pool_is_followed_and_an_earlier_start_counts(tmp_path: Path) -> None:
    settings = settings_of(make_pool(tmp_path))
    first = decide(settings)
    spec = first.specs(range(9000, 9010))[0]
    assert (first.plan, spec.device, spec.kv_cache_memory_bytes) == (None, Device.CPU, 1_000_000)
    entry = first.entry(spec.model_id)
    key = start_key(entry, start_shape(entry, 1, DEFAULT_VLLM_VERSION), CPU_CARD)
    settings.data_dir.mkdir()
    keep_calibration(calibrations_file(settings.data_dir), Calibration(key, 0, 1_000_000, 0, overhead_bytes=3 * GIB))
    second = decide(settings)
    assert second.planned_bytes(spec) == 3 * GIB + 1_000_000
    assert second.planned_bytes(second.specs(range(9000, 9010))[1]) == first.planned_bytes(spec)
