"""The long work on one engine: start, watch, send to sleep, wake, end. It touches no state and only sends events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.domain.engine import EngineSpec, EngineState, EngineStatus
from appliance.engines.client import EngineClient
from appliance.engines.launcher import EngineHandle, Launcher
from appliance.errors import EngineError, EngineStartError
from appliance.supervisor.probe import ProbePolicy, until_wedged
from appliance.supervisor.turns import TurnPolicy


@dataclass(frozen=True, slots=True)
class Event:
    """News of one engine from one piece of work. `run` tells them from those of work that was dropped.

    `settled`: nobody works on its process any more; `handle` is then the running process, or None when there is none.
    """

    engine_id: str
    run: int
    state: EngineState
    detail: str = ""
    handle: EngineHandle | None = None
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """From now on these engines are to run."""

    specs: tuple[EngineSpec, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What a piece of work is about: one run of one engine."""

    spec: EngineSpec
    run: int
    status: EngineStatus
    handle: EngineHandle | None = None


class EngineWork:
    """Each method works on one engine until it has news, and hands them to `tell`."""

    def __init__(
        self,
        launcher: Launcher,
        client: EngineClient,
        tell: Callable[[Event], None],
        *,
        drain_timeout_s: float,
        probes: ProbePolicy,
        turns: TurnPolicy,
    ) -> None:
        self._launcher = launcher
        self._client = client
        self._tell = tell
        self._drain_timeout_s = drain_timeout_s
        self._probes = probes
        self._turns = turns

    async def launch(self, job: Job) -> None:
        """Start the process; it is ready with its first token."""
        engine_id, run = job.spec.engine_id, job.run
        try:
            handle = await self._launcher.launch(
                job.spec,
                job.status.api_key,
                lambda: self._tell(Event(engine_id, run, EngineState.WARMING, settled=False)),
            )
        except (EngineStartError, OSError) as error:
            self._tell(Event(engine_id, run, EngineState.FAILED, str(error)))
        else:
            self._tell(Event(engine_id, run, EngineState.READY, handle=handle))

    async def watch_exit(self, job: Job) -> None:
        """Say when the process has ended."""
        if job.handle is None:
            return
        code = await job.handle.wait()
        # vLLM's server leaves with code 0 when its engine core was killed: any exit that nobody asked for is a failure.
        self._tell(Event(job.spec.engine_id, job.run, EngineState.FAILED, f"it ended by itself with exit code {code}"))

    async def watch_tokens(self, job: Job) -> None:
        """Say when the engine makes no tokens any more."""
        reason = await until_wedged(self._client, job.status, self._probes)
        self._tell(Event(job.spec.engine_id, job.run, EngineState.FAILED, reason, settled=False))

    async def sleep(self, job: Job) -> None:
        """Let the calls in flight finish, then give the GPU's memory back by vLLM's sleep mode."""
        detail = f"asleep at level {job.spec.sleep_level}"
        try:
            await self._client.sleep(
                job.status, job.spec.sleep_level, self._drain_timeout_s, self._turns.sleep_timeout_s
            )
            if not await self._client.is_sleeping(job.status):
                raise EngineStartError("it says that it is awake")
        except EngineError as error:
            self._failed(job, f"it could not be sent to sleep: {error}")
        else:
            self._tell(Event(job.spec.engine_id, job.run, EngineState.ASLEEP, detail, handle=job.handle))

    async def wake(self, job: Job) -> None:
        """Bring the weights back; it is ready with its first token."""
        try:
            await self._client.wake_up(job.status, job.spec.sleep_level, self._turns.wake_timeout_s)
            await self._client.generate_one(job.status, self._turns.wake_timeout_s)
        except EngineError as error:
            self._failed(job, f"it could not be woken: {error}")
        else:
            self._tell(Event(job.spec.engine_id, job.run, EngineState.READY, handle=job.handle))

    async def end(
        self, job: Job, state: EngineState, detail: str, *, drain: bool, dropped: Sequence[asyncio.Task[None]] = ()
    ) -> None:
        """End the process, then `state`; without `drain` it is killed, for it answers nothing.

        A start among the `dropped` work takes its half of a process down with it, which is waited for.
        """
        await asyncio.gather(*dropped, return_exceptions=True)
        if job.handle is not None:
            await (job.handle.stop(self._drain_timeout_s) if drain else job.handle.kill())
        self._tell(Event(job.spec.engine_id, job.run, state, detail))

    def _failed(self, job: Job, reason: str) -> None:
        self._tell(Event(job.spec.engine_id, job.run, EngineState.FAILED, reason, settled=False))
