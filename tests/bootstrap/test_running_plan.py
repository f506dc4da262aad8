"""The plan that runs: kept while it does, compared by `appliance plan --diff running`."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.bootstrap.data_dir import Running, write_running
from appliance.bootstrap.lineup import decide
from appliance.bootstrap.running_plan import others_bytes, remove_plan, running_plan, write_plan
from appliance.bootstrap.wiring import build
from appliance.cli.main import app
from appliance.domain.engine import EngineState
from appliance.domain.placement import PlacementPlan
from appliance.errors import ConfigError
from tests.bootstrap.machine import GIB, L4, gpu_pool, settings_of
from tests.cli.pool import Pool
from tests.fakes.fake_launcher import FakeLauncher


def plan_verb(pool: Pool, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", "--config", str(pool.config), *arguments])


def running(pool: Pool) -> PlacementPlan:
    """Make it look as if an appliance ran by its plan."""
    settings = settings_of(pool)
    plan = decide(settings).plan
    assert plan is not None
    settings.data_dir.mkdir(exist_ok=True)
    write_plan(settings.data_dir, plan)
    write_running(settings.data_dir, Running("http://127.0.0.1:1", os.getpid(), None))
    return plan


def test_up_starts_the_plan_and_keeps_it_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    launcher = FakeLauncher()

    async def main() -> None:
        appliance = build(settings_of(pool), make_launcher=lambda client: launcher)
        try:
            await appliance.start()
            plan = running_plan(pool.data_dir)
            assert plan is not None
            assert {handle.spec.engine_id for handle in launcher.handles} == {e.engine_id for e in plan.engines}
            assert {handle.spec.gpu_ids for handle in launcher.handles} == {(L4.uuid,)}
            assert {e.state for e in appliance.fleet.snapshot.engines} == {EngineState.READY}
        finally:
            await appliance.stop()

    asyncio.run(main())
    assert running_plan(pool.data_dir) is None
    assert not (pool.data_dir / "plan.json").exists()


def test_what_can_not_be_placed_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch, (replace(L4, free_bytes=GIB),))
    pool.write()
    result = CliRunner().invoke(app, ["up", "--config", str(pool.config)])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "can't be placed" in result.stderr
    assert not (pool.data_dir / "logs").exists()


def test_diff_with_the_running_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    plan = running(pool)
    full = replace(L4, free_bytes=L4.free_bytes - plan.taken_bytes("local", L4.uuid))
    monkeypatch.setattr("appliance.bootstrap.site.scan_gpus", lambda: (full,))
    result = plan_verb(pool, "--diff", "running")
    assert result.exit_code == 0, result.output
    assert f"{len(plan.engines)} engines stay as they are" in result.stdout
    assert json.loads(plan_verb(pool, "--json").stdout)["gpus"][0]["used_bytes"] == plan.gpus[0].used_bytes


def test_diff_where_nothing_runs_by_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    pool.write()
    result = plan_verb(pool, "--diff", "running")
    assert result.exit_code == 1
    assert "no appliance that follows a plan is running" in result.stderr


def test_what_others_hold_while_the_plan_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = running(gpu_pool(tmp_path, monkeypatch))
    taken = plan.taken_bytes("local", L4.uuid)
    before = L4.total_bytes - L4.free_bytes
    assert others_bytes(L4, None) == before
    assert others_bytes(replace(L4, free_bytes=L4.free_bytes - taken // 2), plan) == before
    assert others_bytes(replace(L4, free_bytes=L4.free_bytes - taken - 10), plan) == before + 10
    assert others_bytes(replace(L4, uuid="GPU-new"), plan) == before


def test_a_broken_plan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = gpu_pool(tmp_path, monkeypatch)
    running(pool)
    (pool.data_dir / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"plan\.json: is no saved plan"):
        running_plan(pool.data_dir)
    remove_plan(pool.data_dir)
    assert running_plan(pool.data_dir) is None
