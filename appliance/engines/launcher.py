"""Engines as processes: started in a group of their own, ready when they have generated a token, ended to the last."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.domain.engine import Device, EngineSpec, EngineState, EngineStatus
from appliance.engines import guardian, in_engine
from appliance.engines.client import EngineClient
from appliance.engines.command import EngineCommand, engine_command
from appliance.engines.log import EngineLog, open_log
from appliance.engines.ports import is_free
from appliance.engines.processes import end_leftovers, group_members, kill_group, record_of
from appliance.errors import EngineRejected, EngineStartError, EngineUnavailable

POLL_S = 0.2
FIRST_TOKEN_S = 60.0
"""The first token may have to wait for kernels to be compiled."""
STOP_GRACE_S = 5.0
"""vLLM gets the drain time and this much more to leave before it is killed."""

_KILLED = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})

CommandBuilder = Callable[[EngineSpec, str], EngineCommand]
"""(spec, API key) → the process to start."""


class EngineHandle(Protocol):
    """A started engine."""

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        ...

    async def wait(self) -> int:
        """Exit code, once it has ended; no process of its group lives then."""
        ...

    async def stop(self, drain_timeout_s: float) -> None:
        """Let requests in flight finish for `drain_timeout_s`, then end it; it is gone on return."""
        ...

    async def kill(self) -> None:
        """End it at once; it is gone on return."""
        ...


class Launcher(Protocol):
    """The edge between the supervisor and real processes."""

    async def launch(self, spec: EngineSpec, api_key: str, warming: Callable[[], None]) -> EngineHandle:
        """Start an engine and wait for its first token; `warming()` is called when it answers /health.

        Raises EngineStartError; nothing is left of the engine then, nor after a cancellation.
        """
        ...

    async def end_leftovers(self) -> tuple[str, ...]:
        """End engines that an earlier, killed appliance left behind; their ids."""
        ...


def vllm_commands(
    python: Path, cache_dir: Path, environment: Mapping[str, str], drain_timeout_s: float
) -> CommandBuilder:
    """`engine_command` with all but the engine filled in; paths may be relative to the working directory."""
    # Not resolve(): the interpreter of a virtual environment is a link, and must be called by the link's name.
    return lambda spec, api_key: engine_command(
        spec,
        python=str(python.absolute()),
        in_engine=str(Path(in_engine.__file__).parent),
        cache_dir=str(cache_dir.absolute()),
        environment=environment,
        api_key=api_key,
        drain_timeout_s=drain_timeout_s,
    )


def status_of(spec: EngineSpec, api_key: str, state: EngineState = EngineState.READY) -> EngineStatus:
    """`spec` as an engine of the fleet."""
    host = f"[{spec.host}]" if ":" in spec.host else spec.host
    return EngineStatus(
        engine_id=spec.engine_id,
        model_id=spec.model_id,
        state=state,
        base_url=f"http://{host}:{spec.port}",
        api_key=api_key,
        max_model_len=spec.max_model_len,
        max_num_seqs=spec.max_num_seqs,
        turn_group=spec.turn_group,
        devices=spec.tensor_parallel_size * spec.pipeline_parallel_size if spec.device is Device.CUDA else 1,
        node=spec.node,
        task=spec.task,
    )


@dataclass(slots=True)
class EngineProcess:
    """EngineHandle of a process: the guardian, and the pipe whose end tells it that the appliance is gone."""

    process: asyncio.subprocess.Process
    record_path: Path
    pipe: int
    _gone: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        """The guardian's pid and its group's id."""
        return self.process.pid

    async def wait(self) -> int:
        """The exit code of vLLM's server."""
        if self._gone is None:
            self._gone = asyncio.create_task(self._reap(), name=f"reap {self.pid}")
        return await asyncio.shield(self._gone)

    async def stop(self, drain_timeout_s: float) -> None:
        """SIGTERM, then SIGKILL to the group when it is not gone `STOP_GRACE_S` after the drain time."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(drain_timeout_s + STOP_GRACE_S):
                await self.wait()
        except TimeoutError:
            await self.kill()
        except asyncio.CancelledError:
            kill_group(self.pid)
            raise

    async def kill(self) -> None:
        """SIGKILL to the group."""
        kill_group(self.pid)
        await self.wait()

    async def _reap(self) -> int:
        code = await self.process.wait()
        kill_group(self.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                while group_members(self.pid):  # noqa: ASYNC110 - the kernel sends no event for a whole group
                    await asyncio.sleep(0.02)
        os.close(self.pipe)
        self.record_path.unlink(missing_ok=True)
        return code


class ProcessLauncher:
    """Launcher of real processes.

    `command` builds what is started, `client` asks for the first token, `log_dir` gets one log per engine,
    `state_dir` one record per running engine.
    """

    def __init__(
        self, command: CommandBuilder, client: EngineClient, *, log_dir: Path, state_dir: Path, start_timeout_s: float
    ) -> None:
        self._command = command
        self._client = client
        self._log_dir = log_dir
        self._state_dir = state_dir
        self._start_timeout_s = start_timeout_s

    async def end_leftovers(self) -> tuple[str, ...]:
        """End what an earlier run left behind."""
        return await asyncio.to_thread(end_leftovers, self._state_dir)

    async def launch(self, spec: EngineSpec, api_key: str, warming: Callable[[], None]) -> EngineProcess:
        """Start the engine of `spec` and wait until it has generated a token."""
        command = self._command(spec, api_key)
        _check(spec, command)
        log = open_log(self._log_dir / f"{spec.engine_id}.log")
        started = await self._spawn(spec, command, log)
        ready = asyncio.create_task(self._first_token(status_of(spec, api_key), warming))
        gone = asyncio.create_task(started.wait())
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await asyncio.wait((ready, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise EngineStartError(_died(spec, gone.result(), log))
            ready.result()
        except TimeoutError:
            await _undo(started, ready)
            raise EngineStartError(_slow(spec, self._start_timeout_s, log)) from None
        except EngineRejected as error:
            await _undo(started, ready)
            raise EngineStartError(f"engine {spec.engine_id} ({spec.model_id}): {error}; log: {log.path}") from None
        except BaseException:  # a cancellation too: nothing may be left of it
            await _undo(started, ready)
            raise
        finally:
            gone.cancel()
        return started

    async def _spawn(self, spec: EngineSpec, command: EngineCommand, log: EngineLog) -> EngineProcess:
        reading, writing = os.pipe()
        record_path = self._state_dir / f"{spec.engine_id}.json"
        try:
            with log.path.open("ab") as file:  # for what the guardian itself has to say
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", guardian.__file__, str(log.path), *command.argv),
                    stdin=reading,
                    stdout=file,
                    stderr=asyncio.subprocess.STDOUT,
                    env=dict(command.environment),
                    start_new_session=True,
                )
        except BaseException:  # a cancellation too: the pipe has no owner yet
            os.close(writing)
            raise
        finally:
            os.close(reading)
        record = record_of(spec.engine_id, process.pid, command.argv[0])
        if record is not None:
            record.write(record_path)
        return EngineProcess(process, record_path, writing)

    async def _first_token(self, engine: EngineStatus, warming: Callable[[], None]) -> None:
        while not await self._client.healthy(engine):  # noqa: ASYNC110 - a process sends no event when it listens
            await asyncio.sleep(POLL_S)
        warming()
        while True:
            try:
                return await self._client.generate_one(engine, FIRST_TOKEN_S)
            except EngineUnavailable:
                # It may be on its way down; `launch` watches the process and the time.
                await asyncio.sleep(POLL_S)


async def _undo(started: EngineProcess, ready: asyncio.Task[None]) -> None:
    kill_group(started.pid)  # before any await: a second cancellation must find nothing left to do
    ready.cancel()
    await asyncio.gather(asyncio.shield(started.kill()), ready, return_exceptions=True)


def _check(spec: EngineSpec, command: EngineCommand) -> None:
    if not os.access(command.argv[0], os.X_OK):
        raise EngineStartError(
            f"{command.argv[0]}: no such interpreter, so no engine can start; run `make setup`, or set engines.python"
        )
    if not is_free(spec.port, spec.host):
        raise EngineStartError(
            f"engine {spec.engine_id}: port {spec.port} is in use; end what listens there or change engines.first_port"
        )


def _died(spec: EngineSpec, code: int, log: EngineLog) -> str:
    hint = " (it was killed, most likely for want of memory)" if code in _KILLED else ""
    return (
        f"engine {spec.engine_id} ({spec.model_id}) ended with exit code {code}{hint} before it was ready: "
        f"{log.quote()}; log: {log.path}"
    )


def _slow(spec: EngineSpec, timeout_s: float, log: EngineLog) -> str:
    return (
        f"engine {spec.engine_id} ({spec.model_id}) generated no token within {timeout_s:g} s; "
        f"raise engines.start_timeout_s if the machine is slow; log: {log.path}"
    )
