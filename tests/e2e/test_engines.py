"""Engines as they really are: vLLM on the CPU with the starter models, started, used, killed and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.domain.engine import EngineSpec, EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.engines.client import HttpEngineClient
from appliance.engines.launcher import ProcessLauncher, status_of, vllm_commands
from appliance.engines.processes import group_members, start_ticks
from appliance.errors import ContextTooLong, EngineStartError
from appliance.supervisor.supervisor import Supervisor
from tests.fakes.engine_commands import ROOT, fake_specs
from tests.fakes.polling import until

pytestmark = pytest.mark.e2e

PYTHON = Path(os.environ.get("APPLIANCE_ENGINE_PYTHON", ROOT / ".venv-engine/bin/python"))
WEIGHTS = ROOT / "models/starter/weights"
START_TIMEOUT_S = 240
DRAIN_S = 10
KEY = "e2e-key"


@pytest.fixture(autouse=True)
def _engine_interpreter() -> None:
    if not os.access(PYTHON, os.X_OK):
        pytest.fail(f"{PYTHON}: no vLLM environment; run `make setup`, or set APPLIANCE_ENGINE_PYTHON")


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 2 * START_TIMEOUT_S))


def starter(name: str, **fields: Any) -> EngineSpec:
    [spec] = fake_specs(f"starter-{name}")
    return replace(spec, model_path=WEIGHTS / f"starter-{name}", max_model_len=768, **fields)


@asynccontextmanager
async def launcher_in(data_dir: Path) -> AsyncIterator[tuple[ProcessLauncher, HttpEngineClient]]:
    client = HttpEngineClient()
    try:
        yield make_launcher(data_dir, client), client
    finally:
        await client.close()


def make_launcher(data_dir: Path, client: HttpEngineClient) -> ProcessLauncher:
    commands = vllm_commands(PYTHON, data_dir / "cache", os.environ, DRAIN_S)
    return ProcessLauncher(
        commands, client, log_dir=data_dir / "logs", state_dir=data_dir / "engines", start_timeout_s=START_TIMEOUT_S
    )


def context(**fields: Any) -> CallContext:
    base = CallContext(
        request_id="req-1",
        trace_id="tr-1",
        task_id="s1",
        role=Role.EXECUTOR,
        tenant="t",
        priority=0,
        deadline_s=asyncio.get_running_loop().time() + 120,
        remaining_tokens=1000,
        cache_salt="salt",
    )
    return replace(base, **fields)


def call(engine: EngineStatus, prompt: str, max_tokens: int = 64, **params: Any) -> EngineCall:
    return EngineCall(engine.model_id, ({"role": "user", "content": prompt},), max_tokens, params)


async def collect(client: HttpEngineClient, engine: EngineStatus, wanted: EngineCall) -> list[CallChunk]:
    async with aclosing(client.stream_chat(engine, wanted, context())) as chunks:
        return [chunk async for chunk in chunks]


async def running_requests(engine: EngineStatus) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{engine.base_url}/metrics") as response:
        found = re.search(r"^vllm:num_requests_running\{[^}]*\} (\S+)$", await response.text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def until_running(engine: EngineStatus, wanted: float) -> None:
    async with asyncio.timeout(5):
        while await running_requests(engine) != wanted:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def test_one_engine_from_start_to_stop(tmp_path: Path) -> None:
    async def main() -> None:
        spec = starter("math")
        async with launcher_in(tmp_path) as (launcher, client):
            process = await launcher.launch(spec, KEY, lambda: None)
            engine = status_of(spec, KEY)
            try:
                await logprobs_and_usage(client, engine)
                await json_schema(client, engine)
                await cancelled_mid_stream(client, engine)
                with pytest.raises(ContextTooLong, match="context of starter-math, 768 tokens"):
                    await collect(client, engine, call(engine, "12*34" * 400))
                in_flight = asyncio.create_task(collect(client, engine, endless(engine, 300)))
                await until_running(engine, 1)
            finally:
                members = group_members(process.pid)
                await process.stop(DRAIN_S)
            assert (await in_flight)[-1].usage is not None, "a request in flight must be let finish"
            assert await process.wait() == 0
            assert len(members) >= 3
            assert group_members(process.pid) == ()
            assert not any(map(start_ticks, members))
            log = (tmp_path / "logs/starter-math-0.log").read_text()
            assert KEY not in log
            assert "347*8" not in log

    run(main())


async def logprobs_and_usage(client: HttpEngineClient, engine: EngineStatus) -> None:
    chunks = await collect(client, engine, call(engine, "347*8", temperature=0, logprobs=True, top_logprobs=3))
    assert "".join(c.text for c in chunks).endswith(";2776")
    tokens = [token for chunk in chunks for token in chunk.logprobs]
    assert all(token.logprob <= 0 and len(token.alternatives) >= 3 for token in tokens)
    [usage] = [c.usage for c in chunks if c.usage is not None]
    assert usage.completion_tokens == len(tokens)
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]


async def json_schema(client: HttpEngineClient, engine: EngineStatus) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    chunks = await collect(client, engine, call(engine, "347*8", response_format=wanted))
    assert json.loads("".join(c.text for c in chunks))["answer"] in {"yes", "no"}


def endless(engine: EngineStatus, tokens: int) -> EngineCall:
    return call(engine, "1+1", max_tokens=tokens, ignore_eos=True)


async def cancelled_mid_stream(client: HttpEngineClient, engine: EngineStatus) -> None:
    stream = client.stream_chat(engine, endless(engine, 700), context())
    await anext(stream)
    assert await running_requests(engine) == 1
    await stream.aclose()
    await until_running(engine, 0)


def test_a_broken_model_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        broken = tmp_path / "broken"
        shutil.copytree(WEIGHTS / "starter-math", broken)
        whole = (broken / "model.safetensors").read_bytes()
        (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        spec = replace(starter("math"), model_path=broken)
        async with launcher_in(tmp_path) as (launcher, _):
            with pytest.raises(EngineStartError, match=r"ended with exit code 1 .*SafetensorError: .*; log: .*\.log"):
                await launcher.launch(spec, KEY, lambda: None)

    run(main())


PARENT = """
import asyncio, sys
from pathlib import Path
from appliance.engines.client import HttpEngineClient
from tests.e2e.test_engines import KEY, make_launcher, starter

async def main():
    process = await make_launcher(Path(sys.argv[1]), HttpEngineClient()).launch(starter("text"), KEY, lambda: None)
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_nothing_survives_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        members = group_members(int(parent.stdout.readline()))
        assert len(members) >= 3, "guardian, API server, engine core"
        parent.kill()
    asyncio.run(until(lambda: not any(map(start_ticks, members)), 5))


def test_killed_and_wedged_engines_are_replaced_and_the_neighbour_never_fails(tmp_path: Path) -> None:
    async def main() -> None:
        async with launcher_in(tmp_path) as (launcher, client):
            fleet = Fleet()
            wanted = fake_specs("starter-math", "starter-text")
            specs = tuple(replace(s, model_path=WEIGHTS / s.model_id) for s in wanted)
            supervisor = Supervisor(specs, launcher, client, fleet, drain_timeout_s=DRAIN_S)
            await supervisor.start()
            watching = asyncio.create_task(supervisor.run())
            first = {e.model_id: e for e in fleet.snapshot.engines}
            answers = asyncio.create_task(ask_until_cancelled(client, first["starter-text"]))
            engine_core = max(group_members(first["starter-math"].pid or 0))
            os.kill(engine_core, signal.SIGKILL)
            await until(lambda: not fleet.snapshot.ready("starter-math"), 20)
            await until(lambda: fleet.snapshot.ready("starter-math"), START_TIMEOUT_S)
            [again] = fleet.snapshot.ready("starter-math")
            assert again.pid != first["starter-math"].pid
            assert await collect(client, again, call(again, "2+2"))
            os.kill(max(group_members(again.pid or 0)), signal.SIGSTOP)
            await until(lambda: not fleet.snapshot.ready("starter-math"), 10)
            assert any("made no token" in e.detail for e in fleet.snapshot.engines)
            answers.cancel()
            assert await answers > 10
            # From here on a start is under way, which is to be interrupted without a trace.
            await until(lambda: {e.state for e in fleet.snapshot.engines} == {EngineState.READY, EngineState.STARTING})
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await supervisor.stop()
            assert {e.state for e in fleet.snapshot.engines} == {EngineState.STOPPED}
            assert not any(group_members(e.pid) for e in (again, *first.values()) if e.pid)

    run(main())


async def ask_until_cancelled(client: HttpEngineClient, engine: EngineStatus) -> int:
    """Number of answers; any that fails is raised."""
    count = 0
    with suppress(asyncio.CancelledError):
        while True:
            assert await collect(client, engine, call(engine, "reverse QEXAR", max_tokens=16))
            count += 1
    return count
