"""Wiring, the data directory, the port: what is held, and that it is given back."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from appliance.bootstrap.calibrations import calibrations_file, read_calibrations
from appliance.bootstrap.data_dir import Running, locked, read_running, remove_running, write_running
from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.server import listen
from appliance.bootstrap.wiring import build
from appliance.config import Settings, load
from appliance.domain.engine import EngineState
from appliance.domain.model import Role
from appliance.errors import AlreadyRunning, CatalogError, ConfigError, EngineStartError
from tests.cli.pool import LIMIT_S, MODELS, Pool, get, make_pool
from tests.fakes.polling import until


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


def settings_of(pool: Pool) -> Settings:
    pool.write()
    return load(pool.config, {})


def test_started_appliance_answers_and_leaves_nothing(pool: Pool) -> None:
    async def main() -> None:
        appliance = build(settings_of(pool))
        try:
            await appliance.start()
            assert pool.running()["pid"] == os.getpid()
            assert await asyncio.to_thread(get, f"{appliance.url}/ready") == 200
            assert {engine.model_id for engine in appliance.fleet.snapshot.engines} == set(MODELS)
        finally:
            await appliance.stop()
        assert all(engine.state is EngineState.STOPPED for engine in appliance.fleet.snapshot.engines)

    asyncio.run(main())
    assert pool.running() == {}
    assert stat.S_IMODE((pool.data_dir / "api-key").stat().st_mode) == 0o600
    with locked(pool.data_dir):
        listen("127.0.0.1", pool.settings["server"]["port"]).close()


def test_memory_and_load_are_sampled_and_starts_are_kept(pool: Pool) -> None:
    pool.settings["engines"]["sample_every_s"] = 0.1

    async def main() -> None:
        appliance = build(settings_of(pool))
        try:
            await appliance.start()
            names = {engine.engine_id for engine in appliance.fleet.snapshot.engines}
            await until(lambda: all(appliance.fleet.figures_of(name).tokens_per_s is not None for name in names))
            found = appliance.fleet.figures_of("fake-math-0")
            assert found.measured_bytes is not None
            assert 1 << 20 < found.measured_bytes < (found.planned_bytes or 0)
            assert (found.kv_tokens, found.running_requests, found.waiting_requests) == (21_760, 0, 0)
            assert found.remark == ""
        finally:
            await appliance.stop()

    asyncio.run(main())
    kept = read_calibrations(calibrations_file(pool.data_dir))
    assert {key.model_id for key in kept} == set(MODELS)
    assert {(key.gpu_name, key.vllm_version) for key in kept} == {("CPU", "0.32.0")}


def test_health_answers_while_engines_start_and_a_failed_start_gives_everything_back(pool: Pool) -> None:
    (pool.directory / "slow-fake-math").write_text("60")

    async def main() -> None:
        appliance = build(settings_of(pool))
        starting = asyncio.create_task(appliance.start())
        await until(lambda: any(e.state is EngineState.READY for e in appliance.fleet.snapshot.engines), LIMIT_S)
        assert await asyncio.to_thread(get, f"{appliance.url}/health") == 200
        assert await asyncio.to_thread(get, f"{appliance.url}/ready") == 503
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await appliance.stop()

    asyncio.run(main())
    with locked(pool.data_dir):
        pass


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s["engines"].update(device="cuda"), ConfigError, "no NVIDIA GPU was found"),
        (lambda s: s["pool"][0].update(replicas=64), ConfigError, "of memory"),
        (lambda s: s["pool"][0]["engine"].update(max_model_len=10_000), ConfigError, "max_model_len 10000 is more"),
        (lambda s: s["models"].update(catalog="nowhere"), CatalogError, "nowhere"),
        (lambda s: s["server"].update(host="192.0.2.1"), ConfigError, "can't listen on 192.0.2.1"),
        (lambda s: s["server"].update(api_key_file="store"), ConfigError, None),
        (lambda s: s.update(data_dir="/proc/nowhere"), ConfigError, "data_dir"),
    ],
)
def test_what_can_not_be_built_holds_nothing(pool: Pool, change: object, error: type[Exception], words: str) -> None:
    assert callable(change)
    (pool.data_dir / "store").mkdir(parents=True)
    change(pool.settings)
    with pytest.raises(error, match=words):
        build(settings_of(pool))
    with locked(pool.data_dir):
        listen("127.0.0.1", pool.settings["server"]["port"]).close()


def test_broken_weights_stop_the_start_before_any_engine(pool: Pool) -> None:
    weights = pool.directory / "store" / "fake-math" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])

    async def main() -> None:
        appliance = build(settings_of(pool))
        try:
            with pytest.raises(CatalogError, match=r"fake-math: .*cut off"):
                await appliance.start()
            assert appliance.fleet.snapshot.engines == ()
        finally:
            await appliance.stop()

    asyncio.run(main())
    assert not (pool.data_dir / "logs" / "engines").exists()


def test_engine_that_fails_takes_the_others_down(pool: Pool) -> None:
    (pool.directory / "fail-fake-math").write_text("no such kernel")

    async def main() -> None:
        appliance = build(settings_of(pool))
        try:
            with pytest.raises(EngineStartError, match="no such kernel"):
                await appliance.start()
        finally:
            await appliance.stop()
        assert all(engine.pid is None for engine in appliance.fleet.snapshot.engines)

    asyncio.run(main())


def test_second_build_names_the_holder(pool: Pool) -> None:
    with locked(pool.data_dir), pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}.*{pool.data_dir}"):
        build(settings_of(pool))


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AlreadyRunning, match=f"port {port} on 127.0.0.1 is in use"):
            listen("127.0.0.1", port)
    listen("127.0.0.1", port).close()


def test_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data_dir"), locked(tmp_path / "file"):
        pass


def test_running_is_read_back_and_removed(tmp_path: Path) -> None:
    assert read_running(tmp_path) is None
    running = Running("http://127.0.0.1:8000", os.getpid(), tmp_path / "api-key")
    write_running(tmp_path, running)
    assert read_running(tmp_path) == running
    remove_running(tmp_path)
    remove_running(tmp_path)
    assert read_running(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": "x", "pid": "y", "api_key_file": null}'])
def test_broken_or_stale_note_is_no_appliance(tmp_path: Path, content: str) -> None:
    (tmp_path / "running.json").write_text(content)
    assert read_running(tmp_path) is None


def test_note_of_a_process_that_is_gone(tmp_path: Path) -> None:
    child = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(child, 0)
    (tmp_path / "running.json").write_text(json.dumps({"url": "http://x", "pid": child, "api_key_file": None}))
    assert read_running(tmp_path) is None


def test_coordinator_gets_what_the_configuration_says(pool: Pool) -> None:
    pool.settings["coordinator"] |= {"limits": {"planner": {"max_tokens": 77}}, "budget": {"calls": 3}}
    options = coordinator_options(settings_of(pool))
    assert options.sampling_of(Role.PLANNER).max_tokens == 77
    assert options.budget.calls == 3
    assert options.direct.min_cues == 3
    assert options.roles.executors == {"math": ("fake-math",)}
