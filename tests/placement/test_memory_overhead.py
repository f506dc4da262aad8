"""vLLM's defaults for what was left open, and the peaks of the profiling run."""

from __future__ import annotations

import pytest

from appliance.domain.gpu import Card
from appliance.placement.engine_shape import GIB, batched_tokens, capture_sizes, sequences, version_of
from appliance.placement.overhead import expected_overhead, forward_peak_bytes, upper_overhead
from tests.placement.shapes import A100_80, H100, H200, L4, dense, qwen3_next, shape


def test_defaults_follow_the_card() -> None:
    assert (batched_tokens(shape(), H100), sequences(shape(), H100)) == (8192, 1024)
    assert (batched_tokens(shape(), A100_80), sequences(shape(), A100_80)) == (2048, 256)
    assert (batched_tokens(shape(), L4), sequences(shape(), L4)) == (2048, 256)
    b300 = Card("NVIDIA B300", 270 * GIB)
    assert batched_tokens(shape(), b300) == 16384
    assert batched_tokens(shape(vllm_version="0.11.0"), b300) == 8192


def test_the_old_engine_ran_the_whole_length_at_once_unless_it_was_long() -> None:
    assert batched_tokens(shape(legacy_engine=True, max_model_len=32768), H100) == 32768
    assert batched_tokens(shape(legacy_engine=True, max_model_len=131072), H100) == 2048
    assert sequences(shape(legacy_engine=True), H100) == 256


@pytest.mark.parametrize(("seqs", "sizes"), [(1024, 51), (256, 51), (128, 35), (32, 11), (1, 2)])
def test_captured_sizes(seqs: int, sizes: int) -> None:
    assert capture_sizes(shape(max_num_seqs=seqs), H100) == sizes


def test_eager_engines_capture_nothing() -> None:
    overhead = expected_overhead(dense(), shape(enforce_eager=True), H100)
    assert overhead.graphs_bytes == 0


def test_graphs_are_in_the_budget_since_0_21_and_in_a_promise_since_0_19() -> None:
    assert expected_overhead(dense(), shape(vllm_version="0.21.0"), H100).graphs_in_budget
    assert upper_overhead(dense(), shape(vllm_version="0.19.0"), H100).graphs_in_budget
    assert not upper_overhead(dense(), shape(vllm_version="0.18.0"), H100).graphs_in_budget
    before = expected_overhead(dense(), shape(vllm_version="0.20.0"), H100)
    assert not before.graphs_in_budget
    assert before.budget_bytes == before.activation_bytes + before.non_torch_bytes


def test_the_forward_peak_of_a_dense_model() -> None:
    peak = forward_peak_bytes(dense(), shape(max_num_batched_tokens=2048), L4)
    assert peak == 2048 * (4 * 4096 + 3 * 14336) * 2


def test_the_printed_activation_of_qwen3_next_is_the_sampler() -> None:
    wanted = shape(tensor_parallel_size=2, vllm_version="0.12.0")
    assert expected_overhead(qwen3_next(), wanted, H200).activation_bytes == pytest.approx(5.58 * GIB, rel=0.05)


def test_the_upper_bound_takes_the_dearer_sampler_where_in_doubt() -> None:
    doubtful, certain = shape(vllm_version="0.10.2"), shape(vllm_version="0.26.0")
    for wanted in (doubtful, certain):
        upper, likely = upper_overhead(dense(), wanted, H100), expected_overhead(dense(), wanted, H100)
        assert upper.budget_bytes > likely.budget_bytes
    ratio = upper_overhead(dense(), doubtful, H100).activation_bytes
    assert ratio > 2 * expected_overhead(dense(), doubtful, H100).activation_bytes


def test_amd_cards_sort_before_the_triton_kernel() -> None:
    amd = Card("AMD MI300X", round(191.69 * GIB))
    old = expected_overhead(dense(), shape(vllm_version="0.10.0"), amd)
    assert old.activation_bytes > 2 * expected_overhead(dense(), shape(vllm_version="0.10.0"), H200).activation_bytes


@pytest.mark.parametrize(
    ("text", "version"),
    [("0.11.2rc1+rhai0", (0, 11, 2)), ("v0.9.x", (0, 9, 0)), ("0.7", (0, 7, 0)), ("not read", (0, 0, 0))],
)
def test_versions(text: str, version: tuple[int, int, int]) -> None:
    assert version_of(text) == version
