"""A gateway built from its configuration, over a pack that Kubernetes knows: a fake API server, fake engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from appliance.bootstrap.gateway import build_gateway
from appliance.bootstrap.salt import salt_secret
from appliance.bootstrap.server import HttpServer, listen
from appliance.config import Settings, load
from appliance.domain.fleet import Fleet
from appliance.errors import ConfigError
from appliance.packs.door import Door
from appliance.packs.keys import OneKey
from tests.cli.apart import KEY, ask, chat
from tests.cli.pool import Pool, get, make_pool
from tests.fakes.fake_pool_engine import ANSWER, QUESTION, script
from tests.fakes.fake_vllm import FakeVllm
from tests.fakes.kubernetes_api import FakeKubernetes
from tests.fakes.polling import until

MODELS = ("fake-planner", "fake-math", "fake-verifier", "fake-generalist")


@asynccontextmanager
async def engines(fleet: Fleet) -> AsyncIterator[None]:
    """A fake engine for each model, in `fleet`."""
    fakes = [FakeVllm(model=model, script=partial(script, model)) for model in MODELS]
    for fake in fakes:
        await fake.__aenter__()
    fleet.publish(tuple(fake.status() for fake in fakes))
    try:
        yield
    finally:
        for fake in fakes:
            await fake.__aexit__(None, None, None)


@asynccontextmanager
async def pack() -> AsyncIterator[str]:
    """Where the door of a pack is that has an engine for each model."""
    fleet = Fleet()
    door = Door("pack-0-0", fleet, OneKey(KEY), exposition=lambda: b"")
    server = HttpServer(door.app, listen("127.0.0.1", 0), 1)
    tasks = [asyncio.create_task(server.serve()), asyncio.create_task(door.run())]
    async with engines(fleet):
        try:
            yield server.url
        finally:
            server.stop()
            await tasks[0]
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    made = make_pool(tmp_path)
    (tmp_path / "pack-key").write_text(f"{KEY}\n")
    return made


def settings_of(pool: Pool, **discovery: object) -> Settings:
    pool.settings["cluster"] = {"key_file": str(pool.directory / "pack-key"), "discovery": discovery}
    pool.write()
    return load(pool.config, {})


def test_packs_are_found_used_and_left_as_kubernetes_says(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with FakeKubernetes(pool.directory / "account") as api, pack() as door:
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
            api.door_port = int(door.rpartition(":")[2])
            api.put("packs-a", "127.0.0.1")
            found = {"service": "packs", "service_account": str(api.directory)}
            gateway = build_gateway(settings_of(pool, kubernetes=found))
            try:
                await gateway.start()
                names = {engine.engine_id for engine in gateway.fleet.snapshot.engines}
                assert names == {f"pack-0-0/{model}-0" for model in MODELS}
                key = (pool.data_dir / "api-key").read_text().strip()
                status, answer = await asyncio.to_thread(ask, gateway.url, key, chat("auto", QUESTION))
                assert (status, answer["choices"][0]["message"]["content"]) == (200, ANSWER)
                api.put("packs-a", "127.0.0.1", ip_127_0_0_1=False)
                await until(lambda: not gateway.fleet.snapshot.engines)
                assert await asyncio.to_thread(get, f"{gateway.url}/health") == 200
                api.put("packs-a", "127.0.0.1")
                await until(lambda: len(gateway.fleet.snapshot.engines) == 4)
            finally:
                await gateway.stop()

    asyncio.run(main())


def test_a_gateway_starts_before_its_packs(pool: Pool) -> None:
    async def main() -> None:
        gateway = build_gateway(settings_of(pool, urls=["http://127.0.0.1:9"], silent_s=1))
        try:
            await asyncio.wait_for(gateway.start(), 10)
            assert await asyncio.to_thread(get, f"{gateway.url}/health") == 200
        finally:
            await gateway.stop()

    asyncio.run(main())


def test_without_packs_or_out_of_a_pod_the_way_out_is_named(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"names no pack; set urls"):
        build_gateway(settings_of(pool))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="this is no pod"):
        build_gateway(settings_of(pool, kubernetes={"service": "packs"}))


def test_the_salt_is_shared_where_a_file_says_so(pool: Pool) -> None:
    settings = settings_of(pool)
    assert salt_secret(settings) != salt_secret(settings)
    file = pool.directory / "salt"
    file.write_text("s" * 32)
    pool.settings["cluster"] = {"salt_file": str(file)}
    pool.write()
    assert salt_secret(load(pool.config, {})) == b"s" * 32
    file.write_text("short")
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        salt_secret(load(pool.config, {}))
