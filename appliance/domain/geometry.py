"""Shape of a model: what its memory and its speed follow from.

A model is a stack of layers; layers that cost the same stand together in a `LayerGroup`. Sizes are counts of elements
(heads, channels, parameters), never bytes: bytes depend on the number formats and are reckoned in `placement/`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head, grouped-query or multi-query attention; with `window_tokens` each token sees only that many before.

    `gated` attention has a second query projection as an output gate (Qwen3-Next). `qk_norm_elements` and `sinks` are
    the parameters of query/key norms and of learned attention sinks in one layer.
    """

    heads: int
    kv_heads: int
    head_size: int
    head_size_v: int
    window_tokens: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    gated: bool = False
    qk_norm_elements: int = 0
    sinks: int = 0


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek): one compressed key-value vector per token for all heads.

    `indexer_heads` and `indexer_head_size` describe the sparse-attention indexer (DeepSeek-V3.2, GLM-5); 0 without.
    """

    heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_size: int
    qk_rope_head_size: int
    v_head_size: int
    indexer_heads: int = 0
    indexer_head_size: int = 0


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A mixer whose state does not grow with the text: Mamba-2 or a gated delta net.

    `convolution_elements` and `state_elements` are what one sequence keeps per layer; `parameters` those of the mixer.
    All of it is split over the tensor-parallel ranks. `state_bytes` is the width of one element of the state, None
    where it follows the model's number format.
    """

    name: str
    parameters: int
    convolution_elements: int
    state_elements: int
    state_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FeedForward:
    """A dense multilayer perceptron; `gated` ones have three matrices, others two."""

    intermediate_size: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts: `experts` of `intermediate_size`, of which a token visits `experts_per_token`.

    `shared_intermediate_size` is the width of the experts that every token visits, summed (0: none). `router_bias`
    counts the router's additional parameters (bias or score correction), `shared_gate` a gate of the shared expert.
    """

    experts: int
    experts_per_token: int
    intermediate_size: int
    shared_intermediate_size: int = 0
    gated: bool = True
    bias: bool = False
    router_bias: int = 0
    shared_gate: bool = False


Mixer = Attention | LatentAttention | Recurrent


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """`count` equal layers. `norm_elements` are the parameters of one layer's norms outside of the mixer."""

    count: int
    mixer: Mixer | None
    feed_forward: FeedForward | Experts | None
    norm_elements: int = 0


@dataclass(frozen=True, slots=True)
class Geometry:
    """A whole model.

    `published_parameters` is the publisher's own count, None where not known; then the shape's count stands.
    It may hold draft layers for speculation, which plain serving does not load. `vision_parameters` is the part in
    encoders for pictures or sound, which checkpoints leave unquantised.
    """

    architecture: str
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    context_tokens: int
    groups: tuple[LayerGroup, ...]
    vision_parameters: int = 0
    published_parameters: int | None = None

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return sum(group.count for group in self.groups)

    @property
    def embedding_parameters(self) -> int:
        """Token embedding and, where it is not the same tensor, the output head."""
        return self.hidden_size * self.vocab_size * (1 if self.tie_word_embeddings else 2)

    @property
    def parameters(self) -> int:
        """The publisher's count, or the count that follows from the shape."""
        return self.published_parameters or self.shape_parameters

    @property
    def shape_parameters(self) -> int:
        """Parameters that follow from the shape, vision included as stated."""
        layers = sum(group.count * layer_parameters(group, self.hidden_size) for group in self.groups)
        return self.embedding_parameters + layers + self.hidden_size + self.vision_parameters


def layer_parameters(group: LayerGroup, hidden_size: int) -> int:
    """Parameters of one layer of `group`."""
    total = group.norm_elements
    if group.mixer is not None:
        total += mixer_parameters(group.mixer, hidden_size)
    if isinstance(group.feed_forward, FeedForward):
        total += feed_forward_parameters(group.feed_forward, hidden_size)
    elif isinstance(group.feed_forward, Experts):
        experts = group.feed_forward
        total += experts.experts * expert_parameters(experts, hidden_size) + shared_parameters(experts, hidden_size)
        total += router_parameters(experts, hidden_size)
    return total


def mixer_parameters(mixer: Mixer, hidden_size: int) -> int:
    """Parameters of attention or recurrence in one layer."""
    if isinstance(mixer, Recurrent):
        return mixer.parameters
    if isinstance(mixer, LatentAttention):
        return latent_split_parameters(mixer, hidden_size) + latent_shared_parameters(mixer, hidden_size)
    query = mixer.heads * mixer.head_size
    keys_values = mixer.kv_heads * (mixer.head_size + mixer.head_size_v)
    output = mixer.heads * mixer.head_size_v
    total = hidden_size * (query * (2 if mixer.gated else 1) + keys_values + output)
    total += (query + keys_values if mixer.qkv_bias else 0) + (hidden_size if mixer.output_bias else 0)
    return total + mixer.qk_norm_elements + mixer.sinks


def latent_split_parameters(mixer: LatentAttention, hidden_size: int) -> int:
    """Per-head matrices of latent attention, which tensor parallelism splits: q_b (or q), kv_b and o."""
    query_input = mixer.q_lora_rank or hidden_size
    query = mixer.heads * (mixer.qk_nope_head_size + mixer.qk_rope_head_size)
    return (
        query_input * query
        + mixer.kv_lora_rank * mixer.heads * (mixer.qk_nope_head_size + mixer.v_head_size)
        + mixer.heads * mixer.v_head_size * hidden_size
    )


def latent_shared_parameters(mixer: LatentAttention, hidden_size: int) -> int:
    """Matrices of latent attention that every rank holds whole: q_a, kv_a, their norms and the indexer."""
    total = hidden_size * (mixer.kv_lora_rank + mixer.qk_rope_head_size) + mixer.kv_lora_rank
    if mixer.q_lora_rank:
        total += hidden_size * mixer.q_lora_rank + mixer.q_lora_rank
    if mixer.indexer_heads:
        query_input = mixer.q_lora_rank or hidden_size
        total += query_input * mixer.indexer_heads * mixer.indexer_head_size
        total += hidden_size * (mixer.indexer_head_size + mixer.indexer_heads) + 2 * mixer.indexer_head_size
    return total


def feed_forward_parameters(block: FeedForward, hidden_size: int) -> int:
    """Two or three matrices, and their biases."""
    up = 2 if block.gated else 1
    bias = block.intermediate_size * up + hidden_size if block.bias else 0
    return hidden_size * block.intermediate_size * (up + 1) + bias


def expert_parameters(block: Experts, hidden_size: int) -> int:
    """Parameters of one routed expert."""
    return feed_forward_parameters(FeedForward(block.intermediate_size, block.gated, block.bias), hidden_size)


def shared_parameters(block: Experts, hidden_size: int) -> int:
    """Parameters of the experts that every token visits, and of their gate."""
    if not block.shared_intermediate_size:
        return 0
    shared = feed_forward_parameters(FeedForward(block.shared_intermediate_size, block.gated), hidden_size)
    return shared + (hidden_size if block.shared_gate else 0)


def router_parameters(block: Experts, hidden_size: int) -> int:
    """The router matrix and its bias."""
    return hidden_size * block.experts + block.router_bias
