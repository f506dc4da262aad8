"""Looks at all engines every few seconds: memory, load, and what they measured at their start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from appliance.domain.engine import Device, EngineSpec, EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures, Fleet
from appliance.engines.load import EngineLoad
from appliance.engines.log import read_end
from appliance.engines.process_memory import group_gpu_bytes, group_pss_bytes
from appliance.engines.start_log import StartFigures, start_figures

ReadLoad = Callable[[EngineStatus], Awaitable[EngineLoad]]

_log = structlog.get_logger(__name__)

MEMORY_EVERY_S = 30.0
"""Of a ready engine, which has what it will ever take: the kernel walks all of its pages to say how much that is, which
costs tens of milliseconds of a core for each engine."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One engine to look at. `planned_bytes` as in EngineFigures."""

    spec: EngineSpec
    planned_bytes: int | None
    log_path: Path


class Judge(Protocol):
    """Whoever compares what a ready engine takes with what was planned for it. Called outside of the event loop."""

    def __call__(self, engine_id: str, start: StartFigures, measured_bytes: int | None) -> str:
        """A remark for a person; empty where all is well."""
        ...


def engine_bytes(spec: EngineSpec, pgid: int) -> int | None:
    """Memory of a process group where `spec` computes."""
    return group_pss_bytes(pgid) if spec.device is Device.CPU else group_gpu_bytes(pgid, spec.gpu_ids)


@dataclass(slots=True)
class _Seen:
    """What is remembered of one process. `at_s` and `generated` are those of the last sample, `measured` is its memory
    as it was at `measured_s`."""

    pid: int
    start: StartFigures | None = None
    at_s: float = 0.0
    generated: int | None = None
    measured_s: float | None = None
    measured: int | None = None


@dataclass(slots=True)
class Sampler:
    """Writes `fleet.figures`; nothing else does. `read_bytes(spec, pgid)` may block."""

    fleet: Fleet
    subjects: Mapping[str, Subject]
    read_load: ReadLoad
    judge: Judge
    every_s: float
    read_bytes: Callable[[EngineSpec, int], int | None] = engine_bytes
    _seen: dict[str, _Seen] = field(default_factory=dict)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                await self.sample()
            except Exception:  # figures are an extra; one bad look must not end them
                _log.exception("sampling goes on after an error")
            await asyncio.sleep(self.every_s)

    async def sample(self) -> None:
        """One look at every engine of the fleet."""
        subjects = self.subjects  # replaced by another task when the plan changes
        engines = [engine for engine in self.fleet.snapshot.engines if engine.engine_id in subjects]
        loads = await asyncio.gather(*(self._load(engine) for engine in engines))
        now_s = asyncio.get_running_loop().time()
        # One thread for all: the judge keeps state, and nothing is in a hurry.
        measured = await asyncio.to_thread(lambda: [self._measure(engine, subjects, now_s) for engine in engines])
        self.fleet.figures = {
            engine.engine_id: self._figures(subjects[engine.engine_id], engine, load, *found, now_s)
            for engine, load, found in zip(engines, loads, measured, strict=True)
        }

    async def _load(self, engine: EngineStatus) -> EngineLoad:
        return await self.read_load(engine) if _is_ready(engine) else EngineLoad()

    def _measure(self, engine: EngineStatus, subjects: Mapping[str, Subject], now_s: float) -> tuple[int | None, str]:
        """Bytes now or, of an engine that is ready for longer, as last looked at; and the judge's remark on it."""
        if engine.pid is None:
            return None, ""
        subject, seen = subjects[engine.engine_id], self._seen_of(engine.engine_id, engine.pid)
        if not _is_ready(engine):
            seen.measured_s = None
            return self.read_bytes(subject.spec, engine.pid), ""
        if seen.start is None:
            seen.start = start_figures(read_end(subject.log_path))
        if seen.measured_s is None or now_s - seen.measured_s >= MEMORY_EVERY_S:
            seen.measured_s, seen.measured = now_s, self.read_bytes(subject.spec, engine.pid)
        return seen.measured, self.judge(engine.engine_id, seen.start, seen.measured)

    def _figures(
        self,
        subject: Subject,
        engine: EngineStatus,
        load: EngineLoad,
        measured_bytes: int | None,
        remark: str,
        now_s: float,
    ) -> EngineFigures:
        planned = EngineFigures(subject.spec.gpu_ids, subject.planned_bytes)
        if engine.pid is None:
            return planned
        seen = self._seen_of(engine.engine_id, engine.pid)
        start = seen.start or StartFigures()
        return replace(
            planned,
            measured_bytes=measured_bytes,
            kv_tokens=start.kv_tokens if start.kv_tokens is not None else load.kv_tokens,
            running_requests=load.running,
            waiting_requests=load.waiting,
            tokens_per_s=_rate(seen, load, now_s),
            remark=remark,
            kv_used_share=load.kv_used_share,
            server_cpu_s=load.server_cpu_s,
        )

    def _seen_of(self, engine_id: str, pid: int) -> _Seen:
        """What is remembered of this process; nothing of an earlier one."""
        seen = self._seen.get(engine_id)
        if seen is None or seen.pid != pid:
            seen = self._seen[engine_id] = _Seen(pid)
        return seen


def _is_ready(engine: EngineStatus) -> bool:
    return engine.pid is not None and engine.state is EngineState.READY


def _rate(seen: _Seen, load: EngineLoad, now_s: float) -> float | None:
    """Generated tokens per second since the last sample of the same process; writes this one down."""
    before, before_s = seen.generated, seen.at_s
    seen.generated, seen.at_s = load.generated_tokens, now_s
    if before is None or load.generated_tokens is None or now_s <= before_s:
        return None
    return round(max(0, load.generated_tokens - before) / (now_s - before_s), 3)
