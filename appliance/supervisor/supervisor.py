"""Owns the engines: starts them, watches them, replaces what fails, and publishes the fleet."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

import structlog

from appliance.domain.engine import EngineSpec, EngineState
from appliance.domain.fleet import Fleet
from appliance.engines.client import EngineClient
from appliance.engines.launcher import EngineHandle, Launcher
from appliance.errors import EngineStartError
from appliance.supervisor.actions import Action, Remove, Rest, Sleep, Start, Stop, Wait, Wake
from appliance.supervisor.gpu_memory import FreeBytes, GpuMemory
from appliance.supervisor.kept_engine import KeptEngine
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.reconcile import Observed, RestartPolicy, failures_after, reconcile, same_process
from appliance.supervisor.rota import LOOK_S, Rota
from appliance.supervisor.turns import TurnPolicy
from appliance.supervisor.work import EngineWork, Event, Wanted

Progress = Callable[[str, EngineState, float, str], None]
"""(engine id, state, seconds since its start began, detail)."""

_log = structlog.get_logger(__name__)


class Supervisor:
    """Keeps `specs` running through `launcher` and writes what is there into `fleet`.

    `start()` once, then `run()` until cancelled, then `stop()`. All state is touched by the one task that runs these;
    the tasks below it, and whoever wants other engines, only send events. `free_bytes` says what is free on a GPU, for
    starts that must wait until the memory of an engine that ended has left.
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
        turns: TurnPolicy | None = None,
        free_bytes: FreeBytes | None = None,
    ) -> None:
        self._specs = specs
        self._launcher = launcher
        self._fleet = fleet
        self._drain_timeout_s = drain_timeout_s
        self._restarts = restarts or RestartPolicy()
        turns = turns or TurnPolicy()
        self._rota = Rota(specs, turns)
        self._memory = GpuMemory(free_bytes)
        self._events: asyncio.Queue[Event | Wanted] = asyncio.Queue()
        self._work = EngineWork(
            launcher,
            client,
            self._events.put_nowait,
            drain_timeout_s=drain_timeout_s,
            probes=probes or ProbePolicy(),
            turns=turns,
        )
        self._progress: Progress | None = None
        self._engines = {spec.engine_id: KeptEngine(Observed(spec, EngineState.ABSENT, since_s=0.0)) for spec in specs}

    async def start(self, progress: Progress | None = None) -> None:
        """Start all engines; return when every one is ready, or asleep where it is another's turn.

        Raises EngineStartError for the first that fails; nothing runs then, nor after a cancellation.
        """
        self._progress = progress
        for engine_id in await self._launcher.end_leftovers():
            _log.warning("ended a leftover engine", engine=engine_id)
        try:
            while not all(self._has_come_up(engine) for engine in self._engines.values()):
                await self._step()
                for engine in self._engines.values():
                    if engine.state is EngineState.FAILED:
                        raise EngineStartError(engine.observed.detail)
        except BaseException:  # a cancellation too: nothing may run on
            await self.stop()
            raise
        self._rota.open()

    def want(self, specs: tuple[EngineSpec, ...]) -> None:
        """Let these run from now on: `run` starts those that are new and stops those that are not among them.

        An engine whose specification is the same, but for the name of its group, is not touched.
        """
        self._events.put_nowait(Wanted(specs))

    async def run(self) -> None:
        """Watch and repair until cancelled."""
        while True:
            try:
                await self._step()
            except Exception:  # a mistake in one step must not leave the engines without their keeper
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

    def _has_come_up(self, engine: KeptEngine) -> bool:
        spec, state = engine.spec, engine.state
        if not spec.turn_group or spec.engine_id in self._rota.first_ids:
            return state is EngineState.READY
        return state is EngineState.ASLEEP and (spec.sleep_level == 0 or engine.handle is not None)

    async def _stop_gently(self) -> None:
        await _cancel(tuple(task for engine in self._engines.values() for task in engine.tasks))
        self._take_handles()
        for engine in self._engines.values():
            if engine.state in {EngineState.READY, EngineState.ASLEEP}:
                self._move(engine, EngineState.DRAINING, "the appliance is stopping")
        self._publish()
        handles = [e.handle for e in self._engines.values() if e.handle is not None]
        await asyncio.gather(*(handle.stop(self._drain_timeout_s) for handle in handles))
        for engine in self._engines.values():
            engine.handle = None
            if engine.state is not EngineState.STOPPED:
                self._move(engine, EngineState.STOPPED, "")
        self._publish()

    def _take_handles(self) -> None:
        """Engines that came up after the last look at the events are to be stopped too."""
        while not self._events.empty():
            event = self._events.get_nowait()
            if isinstance(event, Event) and event.handle is not None and event.engine_id in self._engines:
                self._engines[event.engine_id].handle = event.handle

    async def _step(self) -> None:
        """Reconcile, then wait for news or for the next moment at which something can be done.

        All news is heard before the next decision: the work of an engine may be dropped then, and what it has told
        already (a process that came up) must not be lost.
        """
        wake_s = self._reconcile(asyncio.get_running_loop().time())
        self._publish()
        try:
            async with asyncio.timeout_at(min(wake_s, default=None)):
                self._hear(await self._events.get())
        except TimeoutError:
            return
        while not self._events.empty():
            self._hear(self._events.get_nowait())
        self._publish()

    def _hear(self, event: Event | Wanted) -> None:
        if isinstance(event, Wanted):
            self._adopt(event.specs)
        elif event.engine_id in self._engines:
            self._take(event)

    def _adopt(self, specs: tuple[EngineSpec, ...]) -> None:
        """Make them the wanted ones; reconciling does the rest."""
        self._specs = specs
        now_s = asyncio.get_running_loop().time()
        for spec in specs:
            engine = self._engines.setdefault(
                spec.engine_id, KeptEngine(Observed(spec, EngineState.ABSENT, since_s=now_s))
            )
            if same_process(engine.spec, spec):
                engine.observed = replace(engine.observed, spec=spec)
        self._rota.regroup(specs)

    def _reconcile(self, now_s: float) -> list[float]:
        """Do all that can be done now; the moments at which more can be done."""
        observed = {engine_id: engine.observed for engine_id, engine in self._engines.items()}
        running = {engine_id for engine_id, engine in self._engines.items() if engine.handle is not None}
        self._rota.hear(self._fleet.demand, now_s)
        turns = self._rota.turns(observed, running, now_s)
        wake_s = [now_s + LOOK_S] if self._rota.has_groups else []
        for action in reconcile(self._specs, observed, now_s, self._restarts, turns, self._memory.leaving()):
            if isinstance(action, Wait):
                wake_s += [] if action.until_s is None else [action.until_s]
            else:
                self._apply(action)
        return wake_s

    def _apply(self, action: Action) -> None:
        match action:
            case Start(spec, reason):
                self._launch(self._engines[spec.engine_id], spec, EngineState.STARTING, reason)
            case Wake(spec, reason):
                self._wake(self._engines[spec.engine_id], spec, reason)
            case Sleep(engine_id, reason):
                self._sleep(self._engines[engine_id], reason)
            case Rest(spec, reason):
                engine = self._engines[spec.engine_id]
                engine.observed = replace(engine.observed, spec=spec)
                self._move(engine, EngineState.ASLEEP, f"{reason}; it starts when its turn comes")
            case Stop(engine_id, reason):
                self._end(self._engines[engine_id], EngineState.STOPPED, reason)
            case Remove(engine_id):
                del self._engines[engine_id]
                _log.info("engine removed", engine=engine_id)

    def _launch(self, engine: KeptEngine, spec: EngineSpec, state: EngineState, reason: str) -> None:
        engine.drop_work()
        engine.api_key = secrets.token_urlsafe(32)
        engine.started_s = asyncio.get_running_loop().time()
        engine.observed = replace(engine.observed, spec=spec)
        self._memory.starting(spec)
        self._move(engine, state, reason, settling=True)
        engine.spawn(self._work.launch(engine.job()))

    def _wake(self, engine: KeptEngine, spec: EngineSpec, reason: str) -> None:
        if engine.handle is None:
            self._launch(engine, spec, EngineState.WARMING, reason)
            return
        engine.started_s = asyncio.get_running_loop().time()
        self._memory.starting(spec)
        self._move(engine, EngineState.WARMING, reason, settling=True)
        engine.spawn(self._work.wake(engine.job()))

    def _sleep(self, engine: KeptEngine, reason: str) -> None:
        """By vLLM's sleep mode, or by ending the process where there is none."""
        if engine.spec.sleep_level == 0:
            self._end(engine, EngineState.ASLEEP, reason)
            return
        if engine.probe is not None:
            engine.probe.cancel()
        self._memory.changing(engine.spec)
        self._move(engine, EngineState.DRAINING, reason, settling=True)
        engine.spawn(self._work.sleep(engine.job()))

    def _end(self, engine: KeptEngine, state: EngineState, reason: str) -> None:
        dropped = engine.drop_work()
        if engine.state in {EngineState.STARTING, EngineState.WARMING}:
            self._move(engine, state, reason, settling=True)  # it serves nobody, so there is nothing to drain
        else:
            self._memory.changing(engine.spec)
            self._move(engine, EngineState.DRAINING, reason, settling=True)
        engine.spawn(self._work.end(engine.job(), state, reason, drain=True, dropped=dropped))

    def _take(self, event: Event) -> None:
        engine = self._engines[event.engine_id]
        if event.run != engine.run:
            return
        if event.settled:
            self._settle(engine, event.handle)
        if event.state is engine.state:
            engine.observed = replace(engine.observed, settling=not event.settled)
            return
        if event.state is EngineState.FAILED:
            self._fail(engine, event)
            return
        self._move(engine, event.state, event.detail, settling=not event.settled)
        if event.state is EngineState.READY:
            engine.probe = engine.spawn(self._work.watch_tokens(engine.job()))
        elif event.state is EngineState.ASLEEP:
            engine.observed = replace(engine.observed, failures=0)

    def _settle(self, engine: KeptEngine, handle: EngineHandle | None) -> None:
        """Nobody works on the process any more: it runs, or is gone."""
        spec, before = engine.spec, engine.handle
        engine.handle = handle
        if handle is None:
            self._memory.ended(spec, asyncio.get_running_loop().time())
            return
        self._memory.changed(spec)
        if handle is not before:
            engine.spawn(self._work.watch_exit(engine.job()))

    def _fail(self, engine: KeptEngine, event: Event) -> None:
        now_s = asyncio.get_running_loop().time()
        failures = failures_after(engine.observed, now_s, self._restarts)
        engine.drop_work()
        self._move(engine, EngineState.FAILED, event.detail, settling=not event.settled)
        engine.observed = replace(engine.observed, failures=failures)
        _log.warning("engine failed", engine=event.engine_id, failures=failures, reason=event.detail)
        if not event.settled:
            engine.spawn(self._work.end(engine.job(), EngineState.FAILED, event.detail, drain=False))

    def _move(self, engine: KeptEngine, state: EngineState, detail: str, *, settling: bool = False) -> None:
        now_s = asyncio.get_running_loop().time()
        engine.move(state, detail, now_s, settling=settling)
        _log.info("engine", engine=engine.spec.engine_id, state=state.value, detail=detail)
        if self._progress is not None:
            self._progress(engine.spec.engine_id, state, now_s - engine.started_s, detail)

    def _publish(self) -> None:
        statuses = tuple(engine.status() for engine in self._engines.values())
        if statuses != self._fleet.snapshot.engines:
            self._fleet.publish(statuses)


async def _cancel(tasks: tuple[asyncio.Task[None], ...]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
