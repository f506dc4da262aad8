"""The parts of an engine, the inverse, and what a promise is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.geometry import Geometry
from appliance.domain.gpu import Card
from appliance.placement.calibration import Calibration, calibration_key
from appliance.placement.engine_shape import GIB
from appliance.placement.memory import Fits, TooSmall, available_kv, engine_memory, pinned_kv, pinned_utilization
from tests.placement.shapes import H100, H200, L4, deepseek_v3, dense, gpt_oss, qwen3_next, shape

GEOMETRIES = [dense(), gpt_oss(), qwen3_next(), deepseek_v3(), dense(window=4096)]


def test_the_parts_of_llama_8b_on_an_h100_are_the_published_ones() -> None:
    memory = engine_memory(dense(), shape(vllm_version="0.33.0"), H100)
    assert memory.source == "cold"
    assert memory.weights_bytes == pytest.approx(14.99 * GIB, rel=0.01)
    assert set(memory.parts) == {"baseline", "weights", "activation", "graphs", "non_torch"}
    outcome = available_kv(memory, H100, 0.9)
    assert isinstance(outcome, Fits)
    assert outcome.promised_kv_tokens < outcome.kv_tokens
    assert outcome.kv_bytes == pytest.approx(outcome.kv_tokens * 131072, rel=0.001)


def test_a_70b_model_is_refused_on_one_h100_with_the_shortfall_and_the_parts() -> None:
    outcome = available_kv(
        engine_memory(dense(layers=80, hidden=8192, heads=64, inner=28672), shape(), H100), H100, 0.9
    )
    assert isinstance(outcome, TooSmall)
    assert outcome.shortfall_bytes > 60 * GIB
    assert outcome.longest_model_len == 0
    assert outcome.parts["weights"] > 130 * GIB
    assert "short" in outcome.reasons[0]


def test_the_longest_model_length_that_fits_is_named_and_fits() -> None:
    wanted = engine_memory(dense(), shape(max_model_len=131072), L4)
    outcome = available_kv(wanted, L4, 0.9)
    assert isinstance(outcome, TooSmall)
    assert 0 < outcome.longest_model_len < 131072
    assert str(outcome.longest_model_len) in outcome.reasons[1]
    shorter = engine_memory(dense(), shape(max_model_len=outcome.longest_model_len), L4)
    assert isinstance(available_kv(shorter, L4, 0.9), Fits)
    longer = engine_memory(dense(), shape(max_model_len=outcome.longest_model_len + 16), L4)
    assert isinstance(available_kv(longer, L4, 0.9), TooSmall)


def test_a_budget_beyond_the_free_memory_is_refused_as_vllm_refuses_it() -> None:
    outcome = available_kv(engine_memory(dense(), shape(), H100), H100, 1.0)
    assert isinstance(outcome, TooSmall)
    assert "free" in outcome.reasons[0]


@pytest.mark.parametrize("utilization", [0.0, 1.01, -1.0])
def test_a_utilization_outside_0_to_1_is_an_error(utilization: float) -> None:
    with pytest.raises(ValueError, match="gpu_memory_utilization"):
        available_kv(engine_memory(dense(), shape(), H100), H100, utilization)


def test_a_pinned_cache_is_booked_with_all_that_lies_around_it() -> None:
    memory = engine_memory(dense(), shape(), H100)
    fits = pinned_kv(memory, H100.total_bytes, 4 * GIB)
    assert isinstance(fits, Fits)
    assert fits.kv_tokens == 4 * GIB // 131072
    assert memory.total_bytes(4 * GIB) > memory.weights_bytes + 4 * GIB
    small = pinned_kv(memory, H100.total_bytes, 2**20)
    assert isinstance(small, TooSmall)
    assert "can't hold one request" in small.reasons[0]
    crowded = pinned_kv(memory, 10 * GIB, 4 * GIB)
    assert isinstance(crowded, TooSmall)
    assert crowded.shortfall_bytes == memory.total_bytes(4 * GIB) - 10 * GIB
    both = pinned_kv(memory, 10 * GIB, 2**20)
    assert isinstance(both, TooSmall)
    assert len(both.reasons) == 2


def test_the_utilization_beside_a_pin_covers_the_engine_and_leaves_room_for_others() -> None:
    memory = engine_memory(dense(), shape(), H100)
    utilization = pinned_utilization(memory, H100, 4 * GIB)
    assert memory.total_bytes(4 * GIB) - memory.promised_baseline_bytes <= utilization * H100.total_bytes
    assert utilization < 0.5


def test_a_calibrated_engine_repeats_the_measured_pool() -> None:
    wanted = shape(max_num_seqs=256)
    earlier = Calibration(
        key=calibration_key("m", "r", wanted, H100),
        weights_bytes=15 * GIB,
        kv_bytes=52 * GIB,
        budget_bytes=round(0.9 * H100.total_bytes),
        graphs_bytes=GIB // 2,
        baseline_bytes=GIB // 2,
    )
    memory = engine_memory(dense(), wanted, H100, calibration=earlier)
    outcome = available_kv(memory, H100, 0.9)
    assert memory.source == "calibrated"
    assert isinstance(outcome, Fits)
    assert outcome.kv_bytes == pytest.approx(52 * GIB, abs=16)
    assert outcome.promised_kv_bytes == pytest.approx(52 * GIB, rel=0.005)
    larger = available_kv(memory, H100, 0.95)
    assert isinstance(larger, Fits)
    assert larger.kv_bytes - outcome.kv_bytes == pytest.approx(0.05 * H100.total_bytes, abs=16)


def test_a_calibration_of_a_pinned_start_brings_its_overhead_along() -> None:
    key = calibration_key("m", "r", shape(), H100)
    pinned = Calibration(key, 15 * GIB, 4 * GIB, 0, overhead_bytes=2 * GIB)
    assert pinned.measured_overhead_bytes == 2 * GIB
    with pytest.raises(ValueError, match="budget"):
        _ = replace(pinned, overhead_bytes=None).measured_overhead_bytes


def test_the_key_resolves_what_was_left_open() -> None:
    left_open = calibration_key("m", "r", shape(), H100, ("--b", "--a"))
    said = calibration_key("m", "r", shape(max_num_seqs=1024, max_num_batched_tokens=8192), H100, ("--a", "--b"))
    assert left_open == said
    assert calibration_key("m", "r", shape(enforce_eager=True), H100) != calibration_key("m", "r", shape(), H100)


def test_exact_file_bytes_replace_the_reckoned_weights() -> None:
    exact = engine_memory(dense(), shape(), H100, file_bytes=16_060_522_496)
    assert exact.weights_bytes == pytest.approx(engine_memory(dense(), shape(), H100).weights_bytes, rel=0.001)


def test_pipeline_stages_share_the_layers() -> None:
    whole = engine_memory(dense(), shape(), H100)
    half = engine_memory(dense(), shape(pipeline_parallel_size=2), H100)
    assert 0.5 < half.weights_bytes / whole.weights_bytes < 0.6
    assert half.layout.bytes_per_token == whole.layout.bytes_per_token / 2


@settings(max_examples=60, deadline=None)
@given(
    geometry=st.sampled_from(GEOMETRIES),
    ranks=st.sampled_from([1, 2, 4, 8]),
    length=st.integers(64, 200_000),
    utilization=st.floats(0.05, 0.98),
    gpu=st.sampled_from([H100, H200, L4]),
)
def test_a_promise_never_exceeds_the_budget(
    geometry: Geometry, ranks: int, length: int, utilization: float, gpu: Card
) -> None:
    memory = engine_memory(geometry, shape(max_model_len=length, tensor_parallel_size=ranks), gpu)
    outcome = available_kv(memory, gpu, utilization)
    if isinstance(outcome, TooSmall):
        assert outcome.shortfall_bytes > 0
        assert outcome.longest_model_len < length
        return
    assert memory.smallest_kv_bytes <= outcome.promised_kv_bytes <= outcome.kv_bytes
    booked = memory.promised_weights_bytes + memory.promised_overhead_bytes + outcome.promised_kv_bytes
    assert booked <= utilization * gpu.total_bytes + 1
    assert outcome.concurrency >= 1


@settings(max_examples=30, deadline=None)
@given(geometry=st.sampled_from(GEOMETRIES), tokens=st.integers(256, 16384), sequences=st.integers(1, 1024))
def test_more_work_at_once_never_takes_less(geometry: Geometry, tokens: int, sequences: int) -> None:
    small = engine_memory(geometry, shape(max_num_batched_tokens=tokens, max_num_seqs=sequences), H100)
    large = engine_memory(geometry, shape(max_num_batched_tokens=2 * tokens, max_num_seqs=2 * sequences), H100)
    assert large.overhead.budget_bytes >= small.overhead.budget_bytes
    assert large.smallest_kv_bytes >= small.smallest_kv_bytes
