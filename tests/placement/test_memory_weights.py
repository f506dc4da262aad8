"""Weight bytes per rank and format, against sums that vLLM printed."""

from __future__ import annotations

import pytest

from appliance.placement.engine_shape import GIB
from appliance.placement.weights import header_weight_bytes, weight_bytes, weight_format
from tests.placement.shapes import deepseek_v3, dense, gpt_oss, qwen3_next


def test_bfloat16_is_two_bytes_a_parameter() -> None:
    geometry = dense()
    assert weight_bytes(geometry, weight_format(None, "LlamaForCausalLM"), 1) == 2 * geometry.parameters


@pytest.mark.parametrize(("ranks", "measured"), [(1, 65.9651), (4, 17.2217)])
def test_mxfp4_pads_the_experts(ranks: int, measured: float) -> None:
    loaded = weight_bytes(gpt_oss(), weight_format("mxfp4", "GptOssForCausalLM"), ranks)
    assert loaded == pytest.approx(measured * GIB, rel=0.01)


def test_qwen3_next_on_two_ranks() -> None:
    assert weight_bytes(qwen3_next(), weight_format(None, ""), 2) == pytest.approx(74.2812 * GIB, rel=0.01)


def test_fp8_leaves_the_embeddings_alone() -> None:
    llama = dense(layers=80, hidden=8192, heads=64, inner=28672)
    assert weight_bytes(llama, weight_format("compressed-tensors fp8", ""), 4) == pytest.approx(16.9619 * GIB, rel=0.01)


def test_ranks_never_hold_more_than_the_whole_and_never_less_than_their_share() -> None:
    numbers = weight_format(None, "")
    for geometry in (dense(), deepseek_v3(), gpt_oss(), qwen3_next()):
        whole = weight_bytes(geometry, numbers, 1)
        for ranks in (2, 4, 8, 16):
            assert whole / ranks <= weight_bytes(geometry, numbers, ranks) < whole


def test_data_parallel_attention_spreads_the_experts_further() -> None:
    numbers = weight_format("fp8", "")
    assert weight_bytes(deepseek_v3(), numbers, 1, 8) < weight_bytes(deepseek_v3(), numbers, 1) / 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [("awq", 0.52), ("gptq-int4", 0.52), ("modelopt fp8", 1.0), ("nvfp4", 0.5625), ("none", 2.0), ("w8a8", 1.0)],
)
def test_formats_by_name(name: str, expected: float) -> None:
    assert weight_format(name, "").linear == pytest.approx(expected, rel=0.01)


def test_llama_4_keeps_all_but_its_experts() -> None:
    assert weight_format("fp8", "Llama4ForConditionalGeneration").linear == 2


def test_an_unknown_quantisation_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="magic3"):
        weight_format("magic3", "")


def test_file_bytes_are_shared_as_the_shape_says() -> None:
    numbers = weight_format(None, "")
    assert header_weight_bytes(dense(), numbers, 1, 123_456) == 123_456
    assert 0.25 < header_weight_bytes(dense(), numbers, 4, 10**10) / 10**10 < 0.26
