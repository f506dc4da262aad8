"""In-memory stands-in for processes and for HTTP to them, for tests of the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from appliance.domain.engine import EngineSpec, EngineStatus
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.errors import EngineRejected, EngineStartError, EngineUnavailable


@dataclass
class FakeHandle:
    """A process that ends when the test says so, or when it is stopped."""

    pid: int
    spec: EngineSpec
    stopped: list[float] = field(default_factory=list)
    killed: bool = False
    hang_on_stop: bool = False
    _exit: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    def exit(self, code: int) -> None:
        """End by itself."""
        if self.alive:
            self._exit.set_result(code)

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    async def stop(self, drain_timeout_s: float) -> None:
        self.stopped.append(drain_timeout_s)
        if self.hang_on_stop:
            await self.wait()
        self.exit(0)

    async def kill(self) -> None:
        self.killed = True
        self.exit(-9)


class FakeLauncher:
    """Launcher without processes. `fail[engine_id]` holds the errors of its next starts; `gate` holds starts back."""

    def __init__(self) -> None:
        self.fail: dict[str, list[str]] = {}
        self.gate: asyncio.Event | None = None
        self.leftovers: tuple[str, ...] = ()
        self.handles: list[FakeHandle] = []
        self.keys: list[str] = []
        self.starting: list[str] = []
        self.most_starting = 0

    def latest(self, engine_id: str) -> FakeHandle:
        return next(h for h in reversed(self.handles) if h.spec.engine_id == engine_id)

    async def end_leftovers(self) -> tuple[str, ...]:
        return self.leftovers

    async def launch(self, spec: EngineSpec, api_key: str, warming: Callable[[], None]) -> FakeHandle:
        self.keys.append(api_key)
        self.starting.append(spec.engine_id)
        self.most_starting = max(self.most_starting, len(self.starting))
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            warming()
            await asyncio.sleep(0)
            if self.fail.get(spec.engine_id):
                raise EngineStartError(self.fail[spec.engine_id].pop(0))
        finally:
            self.starting.remove(spec.engine_id)
        handle = FakeHandle(1000 + len(self.handles), spec)
        self.handles.append(handle)
        return handle


class FakeProbeClient:
    """EngineClient without calls: engines in `wedged` make no token; of these, `busy` ones work.

    `slept` and `woken` hold every such call; a process that was started anew is awake. Engines in `restless` refuse to
    sleep, those in `leaden` to wake up; both take `switch_s`.
    """

    def __init__(self) -> None:
        self.wedged: set[str] = set()
        self.busy: set[str] = set()
        self.restless: set[str] = set()
        self.leaden: set[str] = set()
        self._asleep: dict[str, str] = {}
        self.slept: list[tuple[str, int, float]] = []
        self.woken: list[tuple[str, int]] = []
        self.switch_s = 0.0
        self.looks = 0
        self.probes = 0

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        self.probes += 1
        await asyncio.sleep(0)
        if engine.engine_id in self.wedged or self.sleeps(engine):
            raise EngineUnavailable(f"{engine.engine_id} made no token")

    async def progress(self, engine: EngineStatus, timeout_s: float = 2.0) -> str | None:
        self.looks += 1
        return str(self.looks) if engine.engine_id in self.busy else "still"

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        return True

    async def sleep(self, engine: EngineStatus, level: int, drain_timeout_s: float, timeout_s: float) -> None:
        self.slept.append((engine.engine_id, level, drain_timeout_s))
        await asyncio.sleep(self.switch_s)
        if engine.engine_id in self.restless:
            raise EngineRejected("no", status=500)
        self._asleep[engine.engine_id] = engine.api_key

    async def wake_up(self, engine: EngineStatus, level: int, timeout_s: float) -> None:
        self.woken.append((engine.engine_id, level))
        await asyncio.sleep(self.switch_s)
        if engine.engine_id in self.leaden:
            raise EngineRejected("no", status=500)
        del self._asleep[engine.engine_id]

    async def is_sleeping(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        return self.sleeps(engine)

    def sleeps(self, engine: EngineStatus) -> bool:
        """Whether this process of the engine sleeps."""
        return self._asleep.get(engine.engine_id) == engine.api_key

    async def close(self) -> None:
        """Nothing is open."""

    async def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        chunks: tuple[CallChunk, ...] = ()
        for chunk in chunks:
            yield chunk
