"""Owns the engines: starts them, watches them, replaces what fails, and publishes the fleet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from appliance.domain.engine import EngineSpec, EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.engines.client import EngineClient
from appliance.engines.launcher import EngineHandle, Launcher, status_of
from appliance.errors import EngineStartError
from appliance.supervisor.engine_state import advance
from appliance.supervisor.probe import ProbePolicy, until_wedged
from appliance.supervisor.reconcile import (
    Observed,
    RestartPolicy,
    Start,
    Stop,
    Wait,
    failures_after,
    reconcile,
)

Progress = Callable[[str, EngineState, float, str], None]
"""(engine id, state, seconds since its start began, detail)."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Engine:
    """One engine and the tasks that work on it. `run` tells the events of this start from those of earlier ones."""

    observed: Observed
    started_s: float
    run: int = 0
    api_key: str = ""
    handle: EngineHandle | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Event:
    """News of one engine from one of its tasks.

    `settled`: nobody works on its process any more; `handle` is then the running process, or None when there is none.
    """

    engine_id: str
    run: int
    state: EngineState
    detail: str = ""
    handle: EngineHandle | None = None
    settled: bool = True


class Supervisor:
    """Keeps `specs` running through `launcher` and writes what is there into `fleet`.

    `start()` once, then `run()` until cancelled, then `stop()`. All state is touched by the one task that runs these;
    the tasks below it only send events.
    """

    def __init__(
        self,
        specs: tuple[EngineSpec, ...],
        launcher: Launcher,
        client: EngineClient,
        fleet: Fleet,
        *,
        drain_timeout_s: float,
        restarts: RestartPolicy | None = None,
        probes: ProbePolicy | None = None,
    ) -> None:
        self._specs = specs
        self._launcher = launcher
        self._client = client
        self._fleet = fleet
        self._drain_timeout_s = drain_timeout_s
        self._restarts = restarts or RestartPolicy()
        self._probes = probes or ProbePolicy()
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._progress: Progress | None = None
        self._engines = {
            spec.engine_id: _Engine(Observed(spec, EngineState.ABSENT, since_s=0.0), started_s=0.0) for spec in specs
        }

    async def start(self, progress: Progress | None = None) -> None:
        """Start all engines; return when every one is ready.

        Raises EngineStartError for the first that fails; nothing runs then, nor after a cancellation.
        """
        self._progress = progress
        for engine_id in await self._launcher.end_leftovers():
            _log.warning("ended a leftover engine", engine=engine_id)
        try:
            while any(e.observed.state is not EngineState.READY for e in self._engines.values()):
                await self._step()
                for engine in self._engines.values():
                    if engine.observed.state is EngineState.FAILED:
                        raise EngineStartError(engine.observed.detail)
        except BaseException:
            await self.stop()
            raise

    async def run(self) -> None:
        """Watch and repair until cancelled."""
        while True:
            try:
                await self._step()
            except Exception:
                _log.exception("the supervisor's loop goes on after an error")
                await asyncio.sleep(self._restarts.first_backoff_s)

    async def stop(self) -> None:
        """Stop routing, drain all engines, end them; nothing is left when it returns.

        When it is cancelled itself, engines are killed without draining.
        """
        try:
            await self._stop_gently()
        except asyncio.CancelledError:
            self._take_handles()
            handles = [e.handle for e in self._engines.values() if e.handle is not None]
            await asyncio.gather(*(handle.kill() for handle in handles))
            raise

    async def _stop_gently(self) -> None:
        await _cancel(tuple(task for engine in self._engines.values() for task in engine.tasks))
        self._take_handles()
        for engine in self._engines.values():
            if engine.observed.state in {EngineState.READY, EngineState.ASLEEP}:
                self._move(engine, EngineState.DRAINING, "the appliance is stopping")
        self._publish()
        handles = [e.handle for e in self._engines.values() if e.handle is not None]
        await asyncio.gather(*(handle.stop(self._drain_timeout_s) for handle in handles))
        for engine in self._engines.values():
            engine.handle = None
            if engine.observed.state is not EngineState.STOPPED:
                self._move(engine, EngineState.STOPPED, "")
        self._publish()

    def _take_handles(self) -> None:
        """Engines that came up after the last look at the events are to be stopped too."""
        while not self._events.empty():
            event = self._events.get_nowait()
            if event.handle is not None:
                self._engines[event.engine_id].handle = event.handle

    async def _step(self) -> None:
        """Reconcile, then wait for news or for the next moment at which something can be done."""
        loop = asyncio.get_running_loop()
        observed = {engine_id: engine.observed for engine_id, engine in self._engines.items()}
        wake_s: list[float] = []
        for action in reconcile(self._specs, observed, loop.time(), self._restarts):
            match action:
                case Start(spec, reason):
                    self._begin(self._engines[spec.engine_id], spec, reason)
                case Stop(engine_id, reason):
                    self._drain(self._engines[engine_id], reason)
                case Wait(_, until_s, _) if until_s is not None:
                    wake_s.append(until_s)
        self._publish()
        try:
            async with asyncio.timeout_at(min(wake_s, default=None)):
                self._take(await self._events.get())
        except TimeoutError:
            return
        self._publish()

    def _begin(self, engine: _Engine, spec: EngineSpec, reason: str) -> None:
        engine.run += 1
        engine.api_key = secrets.token_urlsafe(32)
        engine.started_s = asyncio.get_running_loop().time()
        engine.observed = replace(engine.observed, spec=spec)
        self._move(engine, EngineState.STARTING, reason, settling=True)
        self._spawn(engine, self._launch(spec, engine.run, engine.api_key))

    def _drain(self, engine: _Engine, reason: str) -> None:
        for task in engine.tasks:
            task.cancel()
        self._move(engine, EngineState.DRAINING, reason, settling=True)
        self._spawn(engine, self._end(engine, EngineState.STOPPED, reason, self._drain_timeout_s))

    def _take(self, event: _Event) -> None:
        engine = self._engines[event.engine_id]
        if event.run != engine.run:
            return
        if event.settled:
            engine.handle = event.handle
        if event.state is engine.observed.state:
            engine.observed = replace(engine.observed, settling=not event.settled)
            return
        if event.state is EngineState.FAILED:
            self._fail(engine, event)
            return
        self._move(engine, event.state, event.detail, settling=not event.settled)
        if event.handle is not None:
            self._spawn(engine, self._watch_exit(event.engine_id, engine.run, event.handle))
            self._spawn(engine, self._watch_tokens(event.engine_id, engine.run, self._status(engine)))

    def _fail(self, engine: _Engine, event: _Event) -> None:
        now_s = asyncio.get_running_loop().time()
        failures = failures_after(engine.observed, now_s, self._restarts)
        for task in engine.tasks:
            task.cancel()
        self._move(engine, EngineState.FAILED, event.detail, settling=not event.settled)
        engine.observed = replace(engine.observed, failures=failures)
        _log.warning("engine failed", engine=event.engine_id, failures=failures, reason=event.detail)
        if not event.settled:
            self._spawn(engine, self._end(engine, EngineState.FAILED, event.detail, None))

    def _move(self, engine: _Engine, state: EngineState, detail: str, *, settling: bool = False) -> None:
        now_s = asyncio.get_running_loop().time()
        engine.observed = replace(
            engine.observed,
            state=advance(engine.observed.state, state),
            since_s=now_s,
            settling=settling,
            detail=detail,
        )
        _log.info("engine", engine=engine.observed.spec.engine_id, state=state.value, detail=detail)
        if self._progress is not None:
            self._progress(engine.observed.spec.engine_id, state, now_s - engine.started_s, detail)

    def _publish(self) -> None:
        statuses = tuple(self._status(engine) for engine in self._engines.values())
        if statuses != self._fleet.snapshot.engines:
            self._fleet.publish(statuses)

    def _status(self, engine: _Engine) -> EngineStatus:
        status = status_of(engine.observed.spec, engine.api_key, engine.observed.state)
        pid = None if engine.handle is None else engine.handle.pid
        return replace(status, pid=pid, detail=engine.observed.detail)

    def _spawn(self, engine: _Engine, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"{engine.observed.spec.engine_id} run {engine.run}")
        engine.tasks.add(task)
        task.add_done_callback(engine.tasks.discard)

    async def _launch(self, spec: EngineSpec, run: int, api_key: str) -> None:
        def warming() -> None:
            self._events.put_nowait(_Event(spec.engine_id, run, EngineState.WARMING, settled=False))

        try:
            handle = await self._launcher.launch(spec, api_key, warming)
        except (EngineStartError, OSError) as error:
            self._events.put_nowait(_Event(spec.engine_id, run, EngineState.FAILED, str(error)))
        else:
            self._events.put_nowait(_Event(spec.engine_id, run, EngineState.READY, handle=handle))

    async def _watch_exit(self, engine_id: str, run: int, handle: EngineHandle) -> None:
        code = await handle.wait()
        # vLLM's server leaves with code 0 when its engine core was killed: any exit that nobody asked for is a failure.
        self._events.put_nowait(_Event(engine_id, run, EngineState.FAILED, f"it ended by itself with exit code {code}"))

    async def _watch_tokens(self, engine_id: str, run: int, status: EngineStatus) -> None:
        reason = await until_wedged(self._client, status, self._probes)
        self._events.put_nowait(_Event(engine_id, run, EngineState.FAILED, reason, settled=False))

    async def _end(self, engine: _Engine, state: EngineState, detail: str, drain_timeout_s: float | None) -> None:
        """End the process and say so; no drain time: kill it, for it answers nothing."""
        handle = engine.handle
        if handle is not None:
            await (handle.kill() if drain_timeout_s is None else handle.stop(drain_timeout_s))
        self._events.put_nowait(_Event(engine.observed.spec.engine_id, engine.run, state, detail))


async def _cancel(tasks: tuple[asyncio.Task[None], ...]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
