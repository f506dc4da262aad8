"""How much memory of ended engines is still on its way out of the GPUs, from what was free before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.domain.engine import EngineSpec
from appliance.supervisor.reconcile import Leaving

FreeBytes = Callable[[str], int | None]
"""(GPU id as in EngineSpec) → free bytes of that GPU now, None where nobody knows. Must not block for long."""

SLACK_BYTES = 256 << 20
SLACK_SHARE = 0.1
"""Other engines on the GPU take and give a little while they work; this much may be missing for good."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """An engine ended at `ended_s`; when its memory has left, `free_bytes` are free."""

    engine_id: str
    gpu_id: str
    free_bytes: int
    ended_s: float


class GpuMemory:
    """Remembers what each engine took of its GPUs. Engines without a GPU, and GPUs that say nothing, don't count."""

    def __init__(self, free_bytes: FreeBytes | None = None) -> None:
        self._free_bytes = free_bytes or (lambda _: None)
        self._free: dict[str, int] = {}
        """GPU → free bytes when its engines were last known to be all there."""
        self._before: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._expected: list[_Expected] = []

    def changing(self, spec: EngineSpec) -> None:
        """The engine is about to take memory, or to give some back."""
        for gpu_id in spec.gpu_ids:
            free = self._read(gpu_id)
            if free is not None:
                self._before[spec.engine_id, gpu_id] = free

    def changed(self, spec: EngineSpec) -> None:
        """It has done so, and runs. What was expected before on its GPUs is not any more."""
        self._forget(spec)
        for gpu_id in spec.gpu_ids:
            key = (spec.engine_id, gpu_id)
            before, free = self._before.pop(key, None), self._read(gpu_id)
            if before is not None and free is not None:
                self._held[key] = max(0, self._held.get(key, 0) + before - free)

    def ended(self, spec: EngineSpec, now_s: float) -> None:
        """Its process is gone."""
        for gpu_id in spec.gpu_ids:
            held, free = self._held.pop((spec.engine_id, gpu_id), 0), self._free.get(gpu_id)
            self._before.pop((spec.engine_id, gpu_id), None)
            if free is not None:
                slack = max(SLACK_BYTES, round(held * SLACK_SHARE))
                self._expected.append(_Expected(spec.engine_id, gpu_id, free + held - slack, now_s))

    def starting(self, spec: EngineSpec) -> None:
        """It starts or wakes up; what did not leave its GPUs until now is not waited for any longer."""
        self._forget(spec)
        self.changing(spec)

    def leaving(self) -> tuple[Leaving, ...]:
        """What has not left yet."""
        left = []
        for expected in tuple(self._expected):
            free = self._free_bytes(expected.gpu_id)
            if free is None or free >= expected.free_bytes:
                self._expected.remove(expected)
                if free is not None:
                    self._free[expected.gpu_id] = free
                continue
            missing = expected.free_bytes - free
            left.append(Leaving(expected.engine_id, expected.gpu_id, missing, expected.ended_s))
        return tuple(left)

    def _read(self, gpu_id: str) -> int | None:
        free = self._free_bytes(gpu_id)
        if free is not None:
            self._free[gpu_id] = free
        return free

    def _forget(self, spec: EngineSpec) -> None:
        self._expected = [expected for expected in self._expected if expected.gpu_id not in spec.gpu_ids]
