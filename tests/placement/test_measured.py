"""Measured starts as calibrations."""

from __future__ import annotations

from dataclasses import replace

from appliance.placement.calibration import Calibration, calibration_key
from appliance.placement.engine_shape import GIB
from appliance.placement.measured import NOISE_BYTES, Measured, cpu_bytes, cpu_calibration, gpu_calibration, tells_more
from appliance.placement.memory import EngineMemory, engine_memory
from tests.placement.shapes import H100, dense, shape

KEY = calibration_key("m", "r", shape(), H100)


def memory(max_num_seqs: int = 64, version: str = "0.33.0") -> EngineMemory:
    return engine_memory(dense(), shape(max_num_seqs=max_num_seqs, vllm_version=version), H100)


def kept(measured: Measured, wanted: EngineMemory, started: EngineMemory | None = None) -> Calibration:
    found = gpu_calibration(KEY, measured, wanted, started or wanted)
    assert found is not None
    return found


def test_weights_are_believed_and_the_overhead_stays_as_promised() -> None:
    cold = memory()
    found = kept(Measured(4 * GIB, 15 * GIB, 0, 20 * GIB), cold)
    assert (found.weights_bytes, found.overhead_bytes) == (15 * GIB, cold.promised_overhead_bytes)


def test_a_process_that_took_more_raises_the_next_promise_above_itself() -> None:
    cold = memory()
    took = cold.total_bytes(4 * GIB) + 2 * GIB
    found = kept(Measured(4 * GIB, cold.weights_bytes, cold.overhead.graphs_bytes, took), cold)
    again = engine_memory(dense(), shape(max_num_seqs=64), H100, calibration=found)
    assert again.source == "calibrated"
    assert took <= again.total_bytes(4 * GIB) < took + GIB // 2


def test_graphs_that_took_more_count_where_nvml_is_blind() -> None:
    cold = memory()
    found = kept(Measured(4 * GIB, 15 * GIB, cold.overhead.graphs_bytes + GIB), cold)
    assert found.overhead_bytes == cold.promised_overhead_bytes + GIB


def test_what_was_started_smaller_is_kept_for_what_is_asked_for() -> None:
    wanted, started = memory(256), memory(16)
    took = started.total_bytes(4 * GIB) + GIB
    found = kept(Measured(4 * GIB, started.promised_weights_bytes, 0, took), wanted, started)
    assert found.overhead_bytes == wanted.promised_overhead_bytes + GIB


def test_graphs_outside_of_the_budget_are_not_counted_twice() -> None:
    old = memory(version="0.18.0")
    assert not old.overhead.graphs_in_budget
    took = old.promised_baseline_bytes + 15 * GIB + 4 * GIB + GIB + 8 * GIB
    assert kept(Measured(4 * GIB, 15 * GIB, GIB, took), old).overhead_bytes == 8 * GIB


def test_without_weights_in_the_log_there_is_no_calibration_of_a_gpu() -> None:
    assert gpu_calibration(KEY, Measured(GIB, process_bytes=9 * GIB), memory(), memory()) is None


def test_on_the_cpu_the_sum_counts() -> None:
    found = cpu_calibration(KEY, Measured(GIB, process_bytes=3 * GIB))
    assert found is not None
    assert cpu_bytes(found, GIB) == 3 * GIB
    assert cpu_bytes(found, 2 * GIB) == 4 * GIB
    assert cpu_calibration(KEY, Measured(GIB)) is None


def test_of_equal_starts_the_one_that_took_the_most_is_kept() -> None:
    first = Calibration(KEY, 10, 5, 0, overhead_bytes=7)
    assert tells_more(first, None)
    assert not tells_more(first, first)
    assert not tells_more(replace(first, overhead_bytes=6), first)
    assert not tells_more(replace(first, overhead_bytes=7 + NOISE_BYTES), first)
    assert tells_more(replace(first, overhead_bytes=8 + NOISE_BYTES), first)
    assert tells_more(replace(first, weights_bytes=11), first)
