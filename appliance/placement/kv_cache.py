"""Bytes of the KV cache: what a token takes, how vLLM lays it out in blocks, and what one long request needs.

vLLM (V1) sorts layers into groups of one kind that share one pool of blocks: a block of bytes_per_block serves
block_size tokens of *one* group (vllm/v1/kv_cache_interface.py and v1/core/kv_cache_utils.py, kv_cache_planning.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from appliance.domain.geometry import Attention, Geometry, LatentAttention, Mixer, Recurrent

PAGE_ALIGNMENT_TOKENS = 16
"""Attention blocks grow in steps of it to match a recurrent state (vllm/platforms: align hybrid block size)."""
LATENT_FP8_BYTES = 656
"""fp8_ds_mla: 512 fp8 values, 4 scales of 4 bytes, 64 rotary values of 2 bytes (mla_attention.py)."""
INDEXER_SCALE_BYTES = 4
"""The sparse indexer keeps one byte per channel and one 32-bit scale per token and layer (DeepSeek-V3.2)."""


@dataclass(frozen=True, slots=True)
class LayerKind:
    """Layers of one kind on a rank: `token_bytes` per token and layer, or `state_bytes` per sequence and layer."""

    count: int
    token_bytes: int
    window_tokens: int | None = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class KvLayout:
    """How a rank's pool is divided.

    `kinds` pairs a kind with the number of groups that it fills; all groups have `layers_per_group` layers.
    `bytes_per_token` is what vLLM's printed number of tokens stands for: groups × layers per group × bytes per token
    and layer.
    """

    block_size: int
    bytes_per_block: int
    kinds: tuple[tuple[LayerKind, int], ...]

    @property
    def groups(self) -> int:
        """Groups that share the pool."""
        return sum(groups for _, groups in self.kinds)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of the pool behind one printed token."""
        return self.bytes_per_block * self.groups / self.block_size

    def tokens(self, pool_bytes: float) -> int:
        """Tokens as vLLM prints them for a pool: blocks // groups × block size (v1/core/kv_cache_utils.py)."""
        blocks = max(0, int(pool_bytes // self.bytes_per_block))
        return blocks // max(1, self.groups) * self.block_size

    def request_blocks(self, length_tokens: int, batched_tokens: int) -> int:
        """Blocks that one request of `length_tokens` holds at most.

        Whole attention: every token. Sliding window W: min(W − 1 + batched tokens, length) and one block for the
        unaligned start. Recurrent: one state, and a second for the step under way (prefix caching). Source:
        max_memory_usage_bytes of each spec in vllm/v1/kv_cache_interface.py.
        """
        total = 0
        for kind, groups in self.kinds:
            if kind.state_bytes:
                total += 2 * groups
            elif kind.window_tokens is not None:
                seen = min(kind.window_tokens - 1 + batched_tokens, length_tokens)
                total += (ceil(seen / self.block_size) + 1) * groups
            else:
                total += ceil(length_tokens / self.block_size) * groups
        return total

    def request_bytes(self, length_tokens: int, batched_tokens: int) -> int:
        """The smallest pool that serves one request of `length_tokens`, with vLLM's null block on top."""
        return (self.request_blocks(length_tokens, batched_tokens) + 1) * self.bytes_per_block

    def longest_request(self, pool_bytes: float, batched_tokens: int, limit_tokens: int) -> int:
        """The longest request up to `limit_tokens` that the pool can hold; 0 where not even one block is left."""
        low, high = 0, limit_tokens
        while low < high:
            middle = (low + high + 1) // 2
            if self.request_bytes(middle, batched_tokens) <= pool_bytes:
                low = middle
            else:
                high = middle - 1
        return low


def kv_element_bytes(kv_cache_dtype: str, dtype_bytes: int = 2) -> int:
    """Bytes per stored number: `auto` follows the model, `fp8*` is one; raises ValueError for an unknown type."""
    name = kv_cache_dtype.lower()
    if name in {"auto", "bfloat16", "float16", ""}:
        return dtype_bytes
    if name.startswith(("fp8", "int8")):
        return 1
    raise ValueError(f"unknown kv_cache_dtype {kv_cache_dtype!r}: know auto, bfloat16, float16, fp8*, int8")


def token_bytes(mixer: Mixer, element_bytes: int, tensor_parallel_size: int) -> int:
    """Bytes per token and layer on one rank.

    MHA and GQA: max(1, kv_heads // TP) × (K + V width) × bytes, so heads are replicated once TP exceeds them
    (vllm/config/model.py get_num_kv_heads). MLA: kv_lora_rank + qk_rope_head_dim once, no V, not divided by TP;
    656 bytes with fp8 on sparse models (mla_attention.py). Recurrent layers: none.
    """
    if isinstance(mixer, Recurrent):
        return 0
    if isinstance(mixer, LatentAttention):
        indexer = mixer.indexer_head_size + INDEXER_SCALE_BYTES if mixer.indexer_head_size else 0
        width = mixer.kv_lora_rank + mixer.qk_rope_head_size
        if element_bytes == 1 and mixer.indexer_head_size:
            return LATENT_FP8_BYTES + indexer
        return width * element_bytes + indexer
    heads = max(1, mixer.kv_heads // tensor_parallel_size)
    return heads * (mixer.head_size + mixer.head_size_v) * element_bytes


def state_bytes(mixer: Recurrent, dtype_bytes: int, tensor_parallel_size: int) -> int:
    """Bytes of one sequence's state in one layer on one rank (mamba_utils.py state shapes, split over TP)."""
    convolution = mixer.convolution_elements * dtype_bytes
    return (convolution + mixer.state_elements * (mixer.state_bytes or dtype_bytes)) // tensor_parallel_size


def layer_kinds(
    geometry: Geometry, element_bytes: int, dtype_bytes: int, tensor_parallel_size: int, *, windows: bool
) -> list[LayerKind]:
    """The kinds of layers that keep anything, equal ones together; without `windows` sliding layers count as whole."""
    counts: dict[LayerKind, int] = {}
    for group in geometry.groups:
        mixer = group.mixer
        if mixer is None:
            continue
        if isinstance(mixer, Recurrent):
            kind = LayerKind(1, 0, None, state_bytes(mixer, dtype_bytes, tensor_parallel_size))
        else:
            window = mixer.window_tokens if windows and isinstance(mixer, Attention) else None
            kind = LayerKind(1, token_bytes(mixer, element_bytes, tensor_parallel_size), window)
        counts[kind] = counts.get(kind, 0) + group.count
    return [LayerKind(count, k.token_bytes, k.window_tokens, k.state_bytes) for k, count in counts.items()]


def kv_layout(kinds: Sequence[LayerKind], block_size: int = PAGE_ALIGNMENT_TOKENS) -> KvLayout:
    """The pool's layout: one kind is one group; several get equal pages and equal group sizes.

    Pages: a recurrent state enlarges the attention block until it covers the state; attention layers of different
    width enlarge the block of the narrower. Group size: the smallest kind's layer count, or the largest one's where
    that is less than 1.25 times it; groups are padded (v1/core/kv_cache_utils.py,
    _get_kv_cache_groups_uniform_page_size).
    """
    attention = [kind for kind in kinds if kind.token_bytes]
    state = max((kind.state_bytes for kind in kinds), default=0)
    if not attention:
        total = sum(kind.count * kind.state_bytes for kind in kinds)
        return KvLayout(1, max(1, total), tuple((kind, 1) for kind in kinds))
    if len(kinds) == 1 or all(kind.window_tokens is None and not kind.state_bytes for kind in kinds):
        return KvLayout(block_size, block_size * sum(k.count * k.token_bytes for k in kinds), ((attention[0], 1),))
    widest = max(kind.token_bytes for kind in attention)
    if state:
        steps = ceil(state / min(kind.token_bytes for kind in attention) / PAGE_ALIGNMENT_TOKENS)
        block_size = max(block_size, steps * PAGE_ALIGNMENT_TOKENS)
    smallest, largest = min(kind.count for kind in kinds), max(kind.count for kind in kinds)
    size = largest if largest < 1.25 * smallest else smallest
    pairs = tuple((kind, ceil(kind.count / size)) for kind in kinds)
    return KvLayout(block_size, size * block_size * widest, pairs)
