"""What the engines' GPUs take, from their energy counters, and a call's share of it."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable

import structlog

from appliance.domain.fleet import Fleet

_EVERY_S = 1.0
_KEPT = 3_600
"""Samples of each engine: of the last hour, which is longer than a call may run."""

_log = structlog.get_logger(__name__)

ReadEnergy = Callable[[str], float | None]
"""A GPU's counter in joules since its driver was loaded; None where it has none."""


class EnergyLog:
    """Counter readings of each engine. A call's energy is its device-seconds times the mean power of one device.

    That shares the energy among the calls on an engine as their device-seconds are shared; what devices take while
    they are idle is charged to nobody.
    """

    def __init__(self) -> None:
        self._readings: dict[str, deque[tuple[float, float, int]]] = {}

    def note(self, engine_id: str, at_unix_s: float, energy_j: float, devices: int) -> None:
        """The sum of the counters of an engine's devices. A counter that went back begins a new series."""
        readings = self._readings.setdefault(engine_id, deque(maxlen=_KEPT))
        if readings and (energy_j < readings[-1][1] or devices != readings[-1][2] or at_unix_s <= readings[-1][0]):
            readings.clear()
        readings.append((at_unix_s, energy_j, devices))

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        """A call's share; None without two readings. A call outside of them gets the power of the nearest two."""
        readings = tuple(self._readings.get(engine_id, ()))
        if len(readings) < 2:
            return None
        times = [at_s for at_s, _, _ in readings]
        first = min(max(bisect_right(times, begun_unix_s) - 1, 0), len(times) - 2)
        last = max(first + 1, min(bisect_left(times, ended_unix_s), len(times) - 1))
        seconds = times[last] - times[first]
        return gpu_s * (readings[last][1] - readings[first][1]) / seconds / readings[last][2]


class EnergySampler:
    """Reads the counters of this machine's GPUs every second and writes the log.

    A GPU that several engines hold counts for each of them in equal parts.
    """

    def __init__(self, fleet: Fleet, log: EnergyLog, read: ReadEnergy, clock: Callable[[], float] = time.time) -> None:
        self._fleet = fleet
        self._log = log
        self._read = read
        self._clock = clock

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sample)
            except Exception:  # energy is an extra; one bad look must not end it
                _log.exception("reading energy goes on after an error")
            await asyncio.sleep(_EVERY_S)

    def sample(self) -> None:
        """One reading of every engine whose devices all have a counter."""
        engines = self._fleet.snapshot.engines
        gpus = {engine.engine_id: self._fleet.figures_of(engine.engine_id).gpu_ids for engine in engines if engine.pid}
        holders = Counter(gpu_id for held in gpus.values() for gpu_id in held)
        read = {gpu_id: self._read(gpu_id) for gpu_id in holders}
        now_s = self._clock()
        for engine_id, held in gpus.items():
            parts = _parts(held, read, holders)
            if parts is not None:
                self._log.note(engine_id, now_s, sum(parts), len(held))


def _parts(held: Iterable[str], read: dict[str, float | None], holders: Counter[str]) -> list[float] | None:
    """The engine's part of each of its GPUs' counters; None for an engine without GPUs, or with one that has none."""
    parts = []
    for gpu_id in held:
        energy_j = read[gpu_id]
        if energy_j is None:
            return None
        parts.append(energy_j / holders[gpu_id])
    return parts or None
