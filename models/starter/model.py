"""The Llama architecture in plain torch, small and quick on a CPU; it exports to the Hugging Face format."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.starter.tokenizer import VOCAB_SIZE

HEAD_DIM = 32
MAX_POSITIONS = 1024
NORM_EPS = 1e-5
ROPE_THETA = 10_000.0
Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a model."""

    hidden: int
    layers: int
    intermediate: int

    @property
    def heads(self) -> int:
        """Attention heads of 32 values each."""
        return self.hidden // HEAD_DIM

    @property
    def parameters(self) -> int:
        """How many weights there are, the tied embedding counted once."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return VOCAB_SIZE * self.hidden + self.layers * layer + self.hidden


def rotary(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (..., head dimension), for the half-split rotary embedding of Llama."""
    rates = 1.0 / ROPE_THETA ** (torch.arange(0, HEAD_DIM, 2, dtype=torch.float32, device=positions.device) / HEAD_DIM)
    angles = positions[..., None].float() * rates
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns queries or keys, (batch, heads, length, head dimension), by their positions."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; outside autocast, because bf16 attention is slow to differentiate on a CPU."""
    with torch.autocast(q.device.type, enabled=False):
        return functional.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)


class Layer(nn.Module):
    """Attention and a gated feed-forward, each behind a norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        h, i = size.hidden, size.intermediate
        self.heads = size.heads
        self.input_layernorm = nn.RMSNorm(h, eps=NORM_EPS)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(h, h, bias=False) for _ in range(4))
        self.post_attention_layernorm = nn.RMSNorm(h, eps=NORM_EPS)
        self.gate_proj, self.up_proj = nn.Linear(h, i, bias=False), nn.Linear(h, i, bias=False)
        self.down_proj = nn.Linear(i, h, bias=False)

    def split(self, x: Tensor) -> Tensor:
        """(batch, length, hidden) → (batch, heads, length, head dimension)."""
        return x.view(x.shape[0], x.shape[1], self.heads, HEAD_DIM).transpose(1, 2)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of normed input."""
        y = self.input_layernorm(x)
        q, k, v = self.split(self.q_proj(y)), self.split(self.k_proj(y)), self.split(self.v_proj(y))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Adds the attention output and the feed-forward."""
        merged = attended.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1)
        x = x + self.o_proj(merged)
        y = self.post_attention_layernorm(x)
        out: Tensor = x + self.down_proj(functional.silu(self.gate_proj(y)) * self.up_proj(y))
        return out

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """The layer's output for (batch, length, hidden)."""
        q, k, v = self.project(x, cos, sin)
        return self.finish(x, attend(q, k, v))


class Llama(nn.Module):
    """A decoder with tied embeddings."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embed_tokens = nn.Embedding(VOCAB_SIZE, size.hidden)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.hidden, eps=NORM_EPS)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 if "embed" in name else parameter.shape[1] ** -0.5
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    scale /= (2 * size.layers) ** 0.5
                nn.init.normal_(parameter, std=scale)

    def forward(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """Logits, (number wanted, vocabulary), at the positions of (batch, length) where `wanted` is true."""
        cos, sin = rotary(torch.arange(tokens.shape[1], device=tokens.device))
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return functional.linear(self.norm(x[wanted]), self.embed_tokens.weight)

    def prefill(self, tokens: Tensor, room: int) -> tuple[Tensor, Cache]:
        """Hidden states of padded prompts, and a cache with place for `room` positions."""
        batch, length = tokens.shape
        cos, sin = rotary(torch.arange(length, device=tokens.device))
        x = self.embed_tokens(tokens)
        cache: Cache = []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, cos, sin)
            x = layer.finish(x, attend(q, k, v).to(x.dtype))
            keys, values = (v.new_zeros(batch, layer.heads, room, HEAD_DIM) for _ in range(2))
            keys[:, :, :length], values[:, :, :length] = k, v
            cache.append((keys, values))
        return x, cache

    def step(self, tokens: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        """Logits, (batch, vocabulary), after one more token per row at the row's own position."""
        cos, sin = (t[:, None, None] for t in rotary(positions))
        rows = torch.arange(tokens.shape[0], device=tokens.device)
        end = int(positions.max()) + 1
        mask = (torch.arange(end, device=tokens.device) <= positions[:, None])[:, None, None]
        x = self.embed_tokens(tokens[:, None])
        for layer, (keys, values) in zip(self.layers, cache, strict=True):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, cos, sin)
            keys[rows, :, positions], values[rows, :, positions] = k[:, :, 0].to(v.dtype), v[:, :, 0]
            seen_keys, seen_values = keys[:, :, :end], values[:, :, :end]
            attended = functional.scaled_dot_product_attention(q.to(v.dtype), seen_keys, seen_values, attn_mask=mask)
            x = layer.finish(x, attended)
        return self.head(x[:, 0])

    def head(self, x: Tensor) -> Tensor:
        """Logits of final hidden states."""
        return functional.linear(self.norm(x), self.embed_tokens.weight)
