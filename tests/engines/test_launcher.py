"""ProcessLauncher with the fake vLLM process: starts, deaths, stops, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.domain.engine import EngineSpec
from appliance.engines import launcher as launcher_module
from appliance.engines.client import HttpEngineClient
from appliance.engines.command import EngineCommand
from appliance.engines.launcher import ProcessLauncher, status_of
from appliance.engines.processes import group_members, start_ticks
from appliance.errors import EngineStartError
from tests.fakes.engine_commands import ROOT, fake_commands, fake_specs
from tests.fakes.polling import until

KEY = "engine-key"


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


@asynccontextmanager
async def launcher_in(tmp_path: Path, *options: str, start_timeout_s: float = 30) -> AsyncIterator[ProcessLauncher]:
    client = HttpEngineClient()
    try:
        yield ProcessLauncher(
            fake_commands(*options),
            client,
            log_dir=tmp_path / "logs",
            state_dir=tmp_path / "engines",
            start_timeout_s=start_timeout_s,
        )
    finally:
        await client.close()


def spec_of(*options: str) -> EngineSpec:
    return fake_specs("fake", options=options)[0]


async def control(spec: EngineSpec, path: str, **body: Any) -> None:
    url = f"{status_of(spec, KEY).base_url}/fake/{path}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body):
        pass


def test_start_and_stop(tmp_path: Path) -> None:
    async def main() -> None:
        spec = spec_of("--child")
        warmings: list[None] = []
        async with launcher_in(tmp_path) as launcher:
            engine = await launcher.launch(spec, KEY, lambda: warmings.append(None))
            assert len(warmings) == 1
            assert len(group_members(engine.pid)) == 3  # guardian, server, and the server's child
            assert json.loads((tmp_path / "engines/fake-0.json").read_text())["pgid"] == engine.pid
            await engine.stop(1)
            assert await engine.wait() == 0
            assert group_members(engine.pid) == ()
            assert list((tmp_path / "engines").iterdir()) == []

    run(main())


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_module, "STOP_GRACE_S", 0.3)

    async def main() -> None:
        async with launcher_in(tmp_path) as launcher:
            engine = await launcher.launch(spec_of("--ignore-term", "--child"), KEY, lambda: None)
            await engine.stop(0)
            assert await engine.wait() == -signal.SIGKILL
            assert group_members(engine.pid) == ()

    run(main())


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_is_seen_with_its_code(tmp_path: Path, code: int) -> None:
    async def main() -> None:
        spec = spec_of("--child")
        async with launcher_in(tmp_path) as launcher:
            engine = await launcher.launch(spec, KEY, lambda: None)
            await control(spec, "exit", code=code)
            assert await engine.wait() == code
            assert group_members(engine.pid) == ()

    run(main())


def test_death_at_start_quotes_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with launcher_in(tmp_path) as launcher:
            with pytest.raises(EngineStartError) as caught:
                await launcher.launch(spec_of("--fail", "ValueError: no such dtype"), KEY, lambda: None)
            told = str(caught.value)
            assert "engine fake-0 (fake) ended with exit code 1" in told
            assert "ValueError: no such dtype" in told
            assert str(tmp_path / "logs/fake-0.log") in told

    run(main())


def test_a_port_in_use(tmp_path: Path) -> None:
    async def main() -> None:
        spec = spec_of()
        async with launcher_in(tmp_path) as launcher:
            words = f"port {spec.port} is in use; .*engines.first_port"
            with socket.create_server((spec.host, spec.port)), pytest.raises(EngineStartError, match=words):
                await launcher.launch(spec, KEY, lambda: None)

    run(main())


def test_a_missing_interpreter(tmp_path: Path) -> None:
    async def main() -> None:
        client = HttpEngineClient()
        launcher = ProcessLauncher(
            lambda spec, key: EngineCommand(("/no/python",), {}),
            client,
            log_dir=tmp_path,
            state_dir=tmp_path,
            start_timeout_s=1,
        )
        with pytest.raises(EngineStartError, match="make setup"):
            await launcher.launch(spec_of(), KEY, lambda: None)

    run(main())


def test_the_start_timeout_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        spec = spec_of("--wedged", "--child")
        async with launcher_in(tmp_path, start_timeout_s=2) as launcher:
            with pytest.raises(EngineStartError, match=r"no token within 2 s; raise engines\.start_timeout_s"):
                await launcher.launch(spec, KEY, lambda: None)
        await until(lambda: not processes_with(str(spec.port)))

    run(main())


def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        spec = spec_of("--start-delay-s", "60", "--child")
        async with launcher_in(tmp_path) as launcher:
            start = asyncio.create_task(launcher.launch(spec, KEY, lambda: None))
            record = tmp_path / "engines/fake-0.json"
            await until(lambda: record.exists() and "child" in (tmp_path / "logs/fake-0.log").read_text())
            start.cancel()
            with pytest.raises(asyncio.CancelledError):
                await start
            assert not processes_with(str(spec.port))
            assert not record.exists()

    run(main())


PARENT = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from appliance.engines.client import HttpEngineClient
from appliance.engines.launcher import ProcessLauncher
from tests.fakes.engine_commands import fake_commands, fake_specs

async def main():
    state = Path(sys.argv[1])
    launcher = ProcessLauncher(fake_commands(), HttpEngineClient(), log_dir=state, state_dir=state, start_timeout_s=30)
    [spec] = fake_specs("fake", options=("--child",))
    engine = await launcher.launch(replace(spec, port=int(sys.argv[2])), "key", lambda: None)
    print(engine.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def started_parent(tmp_path: Path, port: int) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_engines_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent, pgid = started_parent(tmp_path, spec_of().port)
    with parent:
        assert len(group_members(pgid)) == 3
        parent.kill()
    asyncio.run(until(lambda: not group_members(pgid), 5))


def test_leftovers_are_ended_by_their_records(tmp_path: Path) -> None:
    async def main() -> None:
        parent, pgid = await asyncio.to_thread(started_parent, tmp_path, spec_of().port)
        with parent:
            # A guardian that is stopped can't see its parent go: what it guards is left over.
            os.kill(pgid, signal.SIGSTOP)
            await until(lambda: Path(f"/proc/{pgid}/stat").read_text().rpartition(") ")[2].startswith("T"))
            parent.kill()
        assert len(group_members(pgid)) == 3
        async with launcher_in(tmp_path / "other") as other:
            assert await other.end_leftovers() == ()
        (tmp_path / "engines").mkdir()
        (tmp_path / "fake-0.json").rename(tmp_path / "engines/fake-0.json")
        async with launcher_in(tmp_path) as launcher:
            assert await launcher.end_leftovers() == ("fake-0",)
            assert group_members(pgid) == ()
            assert await launcher.end_leftovers() == ()

    run(main())


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_a_process_that_only_has_the_same_pid_is_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    async def main() -> None:
        async with launcher_in(tmp_path) as launcher:
            engine = await launcher.launch(spec_of(), KEY, lambda: None)
            record = tmp_path / "engines/fake-0.json"
            record.write_text(json.dumps(json.loads(record.read_text()) | change))
            assert await launcher.end_leftovers() == ()
            assert start_ticks(engine.pid) is not None
            await engine.kill()

    run(main())


def test_garbage_in_the_state_directory_is_swept(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    for number, text in enumerate(["{", "[]", '{"pgid": 1}']):
        (tmp_path / f"engines/{number}.json").write_text(text)

    async def main() -> None:
        async with launcher_in(tmp_path) as launcher:
            assert await launcher.end_leftovers() == ()

    run(main())
    assert list((tmp_path / "engines").iterdir()) == []


def processes_with(argument: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if argument in line:
                found.append(entry.name)
    return found


def test_ipv6_hosts_are_written_in_brackets() -> None:
    assert status_of(replace(spec_of(), host="::1", port=1), KEY).base_url == "http://[::1]:1"
