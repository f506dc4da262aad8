"""What a start measured, as a calibration for the next plan. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.placement.calibration import Calibration, CalibrationKey
from appliance.placement.memory import EngineMemory

NOISE_BYTES = 8 * 2**20
"""Working processes take and give pages all the time; less than this is no news."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes of one rank after its start. None: not said (weights: on the CPU; the process: where NVML is blind).

    `kv_bytes` is the pinned KV cache, `process_bytes` everything, with context and KV cache.
    """

    kv_bytes: int
    weights_bytes: int | None = None
    graphs_bytes: int | None = None
    process_bytes: int | None = None


def gpu_calibration(
    key: CalibrationKey, measured: Measured, wanted: EngineMemory, started: EngineMemory
) -> Calibration | None:
    """A start on a GPU with a pinned KV cache; None where its log did not even say what the weights took.

    Weights and graphs are measured. The peak of the activations is not: vLLM says nothing of it when the cache is
    pinned, and gives it back before the process can be looked at. So the overhead stays as promised (`wanted`), and is
    raised where the process, or its graphs, took more. `started` is the memory model of what was started, which may be
    smaller than what `key` stands for.
    """
    if measured.weights_bytes is None:
        return None
    graphs, in_budget = measured.graphs_bytes or 0, wanted.overhead.graphs_in_budget
    overhead = wanted.promised_overhead_bytes
    if in_budget:
        overhead += max(0, graphs - started.overhead.graphs_bytes)
    if measured.process_bytes is not None:
        known = (
            measured.weights_bytes + measured.kv_bytes + wanted.promised_baseline_bytes + (0 if in_budget else graphs)
        )
        larger = wanted.promised_overhead_bytes - started.promised_overhead_bytes
        overhead = max(overhead, measured.process_bytes - known + larger)
    return Calibration(key, measured.weights_bytes, measured.kv_bytes, 0, graphs, overhead_bytes=overhead)


def cpu_calibration(key: CalibrationKey, measured: Measured) -> Calibration | None:
    """A start on the CPU, where only the sum is known: all but the KV cache is overhead."""
    if measured.process_bytes is None:
        return None
    overhead = max(0, measured.process_bytes - measured.kv_bytes)
    return Calibration(key, 0, measured.kv_bytes, 0, overhead_bytes=overhead, baseline_bytes=0)


def cpu_bytes(calibration: Calibration, kv_bytes: int) -> int:
    """What an engine on the CPU takes by an earlier start."""
    return calibration.weights_bytes + calibration.measured_overhead_bytes + kv_bytes


def tells_more(fresh: Calibration, kept: Calibration | None) -> bool:
    """Whether `fresh` is worth keeping in place of `kept`: of equal starts the one that took the most counts."""
    if kept is None:
        return True
    more = fresh.measured_overhead_bytes - kept.measured_overhead_bytes
    return fresh.weights_bytes > kept.weights_bytes or more > NOISE_BYTES
