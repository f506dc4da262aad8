"""Bytes per token and the layout of the pool, against sums that vLLM printed."""

from __future__ import annotations

import pytest

from appliance.domain.geometry import Attention, Geometry, LatentAttention, LayerGroup, Recurrent
from appliance.placement.kv_cache import KvLayout, LayerKind, kv_element_bytes, kv_layout, layer_kinds, token_bytes
from tests.placement.shapes import deepseek_v3, dense, gpt_oss, qwen3_next


def layout_of(geometry: Geometry, ranks: int = 1, element: int = 2, block: int = 16, windows: bool = True) -> KvLayout:
    return kv_layout(layer_kinds(geometry, element, 2, ranks, windows=windows), block)


def test_grouped_query_attention_per_token() -> None:
    assert layout_of(dense()).bytes_per_token == 32 * 2 * 8 * 128 * 2


@pytest.mark.parametrize(("ranks", "heads"), [(1, 8), (2, 4), (8, 1), (16, 1)])
def test_key_value_heads_are_replicated_once_there_are_more_ranks(ranks: int, heads: int) -> None:
    assert layout_of(dense(), ranks).bytes_per_token == 32 * 2 * heads * 128 * 2


def test_the_tried_engine_block() -> None:
    tiny = dense(layers=6, hidden=128, heads=4, kv_heads=4, head_size=32)
    layout = layout_of(tiny, block=128)
    assert layout.bytes_per_block == 393_216
    assert 32 * 2**20 // layout.bytes_per_block == 85


def test_fp8_halves_the_cache_and_unknown_types_are_refused() -> None:
    assert layout_of(dense(), element=kv_element_bytes("fp8_e4m3")).bytes_per_token == 65536
    with pytest.raises(ValueError, match="kv_cache_dtype"):
        kv_element_bytes("float3")


def test_latent_attention_is_one_vector_and_not_divided() -> None:
    assert layout_of(deepseek_v3()).bytes_per_token == 61 * 576 * 2
    assert layout_of(deepseek_v3(), ranks=8).bytes_per_token == 61 * 576 * 2


def test_the_sparse_indexer_adds_its_keys() -> None:
    sparse = LatentAttention(128, 1536, 512, 128, 64, 128, indexer_heads=64, indexer_head_size=128)
    assert token_bytes(sparse, 2, 8) == 1152 + 132
    assert token_bytes(sparse, 1, 8) == 656 + 132


def test_gpt_oss_prints_tokens_for_two_groups_of_18_layers() -> None:
    layout = layout_of(gpt_oss(), ranks=4)
    assert layout.groups == 2
    assert layout.bytes_per_token == 18432
    assert layout.tokens(45.32 * 2**30) == pytest.approx(2_640_144, rel=0.001)


def test_qwen3_next_enlarges_the_block_to_544_tokens() -> None:
    layout = layout_of(qwen3_next(), ranks=2)
    assert (layout.block_size, layout.groups) == (544, 4)
    assert layout.tokens(44.59 * 2**30) == 973_760


def test_gemma_3_pads_its_sliding_layers_to_whole_groups() -> None:
    sliding, whole = Attention(4, 1, 256, 256, 512), Attention(4, 1, 256, 256)
    geometry = Geometry(
        "Gemma3ForCausalLM", 1152, 262144, True, 32768, (LayerGroup(22, sliding, None), LayerGroup(4, whole, None))
    )
    layout = layout_of(geometry)
    assert layout.groups == 7
    assert layout.tokens(25.39 * 2**30) == pytest.approx(950_864, rel=0.001)


def test_kinds_of_nearly_equal_number_share_the_larger_group() -> None:
    layout = kv_layout([LayerKind(10, 1024), LayerKind(11, 1024, 128)])
    assert layout.groups == 2
    assert layout.bytes_per_block == 11 * 16 * 1024


def test_a_window_bounds_what_a_request_holds() -> None:
    whole, windowed = layout_of(dense()), layout_of(dense(window=4096))
    assert windowed.request_blocks(65536, 2048) == (4096 - 1 + 2048 + 15) // 16 + 1
    assert whole.request_blocks(65536, 2048) == 4096
    assert layout_of(dense(window=4096), windows=False).request_blocks(65536, 2048) == 4096


def test_a_recurrent_state_does_not_grow_with_the_text() -> None:
    state = Recurrent("mamba2", 1, 1000, 100_000)
    geometry = Geometry("Mamba", 1024, 1000, True, 4096, (LayerGroup(4, state, None),))
    layout = layout_of(geometry)
    assert layout.request_blocks(100, 2048) == layout.request_blocks(100_000, 2048)


@pytest.mark.parametrize("pool", [0, 1, 2**20, 2**30])
def test_the_longest_request_fits_and_the_next_block_does_not(pool: int) -> None:
    layout = layout_of(dense())
    longest = layout.longest_request(pool, 2048, 1_000_000)
    if longest:
        assert layout.request_bytes(longest, 2048) <= pool
    assert layout.request_bytes(longest + 16, 2048) > pool
