"""The rest of an engine's memory, neither weights nor KV: activation peak, CUDA graphs, non-torch, and the baseline.

vLLM measures it at start (vllm/v1/worker/gpu_worker.py, determine_available_memory; vllm/utils/mem_utils.py) and takes
it from the budget before the KV cache. Cold, it is reckoned here: the shapes of the tensors alive at the two peaks of
the profiling run are known, a handful of constants are fitted (benchmarks/memory_fit.py, leave one model out).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from appliance.domain.geometry import Experts, FeedForward, Geometry
from appliance.domain.gpu import Card
from appliance.placement.engine_shape import (
    GIB,
    UNKNOWN_VERSION,
    EngineShape,
    batched_tokens,
    capture_sizes,
    sequences,
    version_of,
)


@dataclass(frozen=True, slots=True)
class OverheadConstants:
    """What no source states, asked of the published cases; `flashinfer_logit_bytes` alone is reckoned.

    The `*_logit_bytes` are bytes per sequence and vocabulary entry at the sampler's peak, by the way that it takes
    top-k and top-p: PyTorch's sort, vLLM's Triton kernel, FlashInfer. Non-torch grows with each doubling of the GPUs
    that talk to each other (NCCL, custom all-reduce). The margins are what a cold promise keeps back on one GPU, on
    several, and of the activation peak: enough for every model that was left out of the fit.
    """

    sorted_logit_bytes: float
    triton_logit_bytes: float
    flashinfer_logit_bytes: float
    non_torch_bytes: float
    non_torch_doubling_bytes: float
    graph_base_bytes: float
    graph_size_bytes: float
    margin_bytes: float
    margin_parallel_bytes: float
    margin_activation: float


FITTED = OverheadConstants(
    sorted_logit_bytes=38.2,
    triton_logit_bytes=21.9,
    flashinfer_logit_bytes=14.0,  # gathered logits 2, in 32 bits 4, masked by top-k 4, as probabilities 4
    non_torch_bytes=0.185 * GIB,
    non_torch_doubling_bytes=0.422 * GIB,
    graph_base_bytes=0.2 * GIB,
    graph_size_bytes=0.012 * GIB,
    margin_bytes=0.5 * GIB,
    margin_parallel_bytes=1.4 * GIB,
    margin_activation=0.2,
)

SORT_EXCLUDED_SINCE = (0, 19, 0)
"""Before it a promise reckons with the sort: FlashInfer may be missing, and the first Triton kernels may be off."""

GRAPHS_COUNT_SINCE = (0, 21, 0)
GRAPHS_MAY_COUNT_SINCE = (0, 19, 0)
"""From here on the option existed and was announced as a default, so a promise reckons with it."""

BASELINE_BYTES = round(0.6 * GIB)
"""CUDA context, NCCL and cuBLAS of one process, outside of vLLM's budget: 0.49-0.96 GiB in the published cases."""
BASELINE_UPPER_BYTES = GIB


@dataclass(frozen=True, slots=True)
class Overhead:
    """Bytes on one rank. `graphs_in_budget` tells whether vLLM takes the graphs from the budget before the KV cache."""

    activation_bytes: int
    graphs_bytes: int
    non_torch_bytes: int
    graphs_in_budget: bool

    @property
    def budget_bytes(self) -> int:
        """What the KV cache gives way to."""
        return self.activation_bytes + self.non_torch_bytes + (self.graphs_bytes if self.graphs_in_budget else 0)


def expected_overhead(
    geometry: Geometry, shape: EngineShape, card: Card, constants: OverheadConstants = FITTED
) -> Overhead:
    """The likeliest overhead of a cold start."""
    return _overhead(geometry, shape, card, constants, _likely_logit_bytes(shape, card, constants))


def upper_overhead(
    geometry: Geometry, shape: EngineShape, card: Card, constants: OverheadConstants = FITTED
) -> Overhead:
    """An overhead that a cold start should not exceed: the sampler's dearer path where in doubt, and the margin."""
    may_sort = version_of(shape.vllm_version) < SORT_EXCLUDED_SINCE
    per_logit = constants.sorted_logit_bytes if may_sort else constants.triton_logit_bytes
    likely = _overhead(geometry, shape, card, constants, per_logit)
    margin = constants.margin_parallel_bytes if _joined_ranks(geometry, shape) > 1 else constants.margin_bytes
    return Overhead(
        activation_bytes=ceil(likely.activation_bytes * (1 + constants.margin_activation)),
        graphs_bytes=likely.graphs_bytes,
        non_torch_bytes=likely.non_torch_bytes + ceil(margin),
        graphs_in_budget=version_of(shape.vllm_version) >= GRAPHS_MAY_COUNT_SINCE,
    )


def forward_peak_bytes(geometry: Geometry, shape: EngineShape, card: Card) -> int:
    """Tensors alive at the widest point of one forward pass over the batched tokens.

    Ours, from the shapes in vLLM's layers: the residual stream and its normed copy in and out of the block (4 × hidden)
    and the block's inner tensors, gate and up joined and their product (3 × intermediate ÷ TP); for experts the two
    caches of the fused kernel, experts_per_token × (2 × intermediate ÷ TP + max(hidden, intermediate ÷ TP))
    (fused_moe.py), and the shared experts' inner tensors.
    """
    inner = max((_inner_elements(group.feed_forward, geometry, shape) for group in geometry.groups), default=0.0)
    return ceil(batched_tokens(shape, card) * (4 * geometry.hidden_size + inner) * shape.dtype_bytes)


def _overhead(
    geometry: Geometry, shape: EngineShape, card: Card, constants: OverheadConstants, per_logit: float
) -> Overhead:
    """Both peaks come one after the other, so the larger one counts."""
    sampler = per_logit * sequences(shape, card) * geometry.vocab_size
    doublings = log2(_joined_ranks(geometry, shape))
    sizes = capture_sizes(shape, card)
    graphs = constants.graph_base_bytes + constants.graph_size_bytes * sizes if sizes else 0.0
    return Overhead(
        activation_bytes=ceil(max(forward_peak_bytes(geometry, shape, card), sampler)),
        graphs_bytes=ceil(graphs),
        non_torch_bytes=ceil(constants.non_torch_bytes + constants.non_torch_doubling_bytes * doublings),
        graphs_in_budget=_graphs_in_budget(shape),
    )


def _joined_ranks(geometry: Geometry, shape: EngineShape) -> int:
    """GPUs that talk to each other through NCCL: tensor and pipeline ranks, and those that share experts."""
    ranks = shape.tensor_parallel_size * shape.pipeline_parallel_size
    shared = any(isinstance(group.feed_forward, Experts) for group in geometry.groups)
    return max(ranks, shape.expert_ranks) if shared else ranks


def _inner_elements(block: FeedForward | Experts | None, geometry: Geometry, shape: EngineShape) -> float:
    ranks = shape.tensor_parallel_size
    if isinstance(block, FeedForward):
        return 3 * block.intermediate_size / ranks
    if isinstance(block, Experts):
        inner = block.intermediate_size / ranks
        routed = block.experts_per_token * (2 * inner + max(geometry.hidden_size, inner))
        return routed + 3 * block.shared_intermediate_size / ranks
    return 0.0


def _likely_logit_bytes(shape: EngineShape, card: Card, constants: OverheadConstants) -> float:
    """Bytes per logit of the sampler that this version takes by default.

    V0 and AMD cards sorted. V1 used FlashInfer where installed (vllm pull request 11394) until that became a choice in
    0.11.1 (26859), which left the sort; a Triton kernel took its place with 0.17 (33538), and FlashInfer is the default
    again since 0.21 (40376, 42472). Unknown versions: the middle one.
    """
    version = version_of(shape.vllm_version)
    if shape.legacy_engine:
        return constants.sorted_logit_bytes
    if version == UNKNOWN_VERSION or (0, 17, 0) <= version < (0, 21, 0):
        return constants.triton_logit_bytes
    if version < (0, 17, 0) and (card.is_rocm or version >= (0, 11, 1)):
        return constants.sorted_logit_bytes
    return constants.triton_logit_bytes if card.is_rocm else constants.flashinfer_logit_bytes


def _graphs_in_budget(shape: EngineShape) -> bool:
    """Since 0.21 an estimate of the graphs is taken from the budget (vllm: "default since v0.21.0").

    VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0 switches it off. vLLM's estimate grows with each captured size and can be
    far too high for mixtures of experts and hybrids (vllm issues 45178, 50780, 53013); a pinned KV cache is not touched
    by it, which is one more reason to pin.
    """
    return version_of(shape.vllm_version) >= GRAPHS_COUNT_SINCE
