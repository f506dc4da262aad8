"""A model of the catalog on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from appliance.domain.geometry import Attention, Experts, FeedForward, Geometry, LatentAttention, LayerGroup, Recurrent
from appliance.domain.model import Model

GIB = 2**30


def listing(rows: Iterable[Mapping[str, Any]]) -> Table:
    """One line a model."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "pool", "parameters", "weights", "files", "licence"):
        table.add_column(heading, header_style="dim", no_wrap=True)
    table.add_column("roles", header_style="dim")
    for row in rows:
        table.add_row(
            row["id"],
            "✓" if row["in_pool"] else "",
            f"{row['parameters'] / 1e6:,.1f} M",
            size(row["weights_bytes"]),
            str(row["listed_files"] or "-"),
            row["licence"],
            ", ".join(row["roles"]),
        )
    return table


def show(console: Console, model: Model, memory: Mapping[str, Any] | None) -> None:
    """All of a model: what people say of it, its shape, and its bytes."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in (*_said(model), *_shape(model.geometry), *_memory(memory), *_files(model)):
        if value:
            table.add_row(name, value)
    console.print(table, markup=False, highlight=False)
    if memory is None:
        console.print(
            "no shape: neither the manifest's config nor a config.json in the store tells it, so it can't be planned "
            "for; see `appliance models add`",
            markup=False,
            soft_wrap=True,
        )


def size(value: float) -> str:
    """Bytes for a person."""
    return f"{value / GIB:,.2f} GiB" if value >= GIB / 10 else f"{value / 2**20:,.2f} MiB"


def _said(model: Model) -> list[tuple[str, str]]:
    origin = model.publisher if model.country in {"none", "unknown"} else f"{model.publisher}, {model.country}"
    skills = ", ".join(f"{name} {score:g}" for name, score in sorted(model.skills.items()))
    return [
        ("id", model.model_id),
        ("", model.description),
        ("licence", model.licence),
        ("publisher", origin),
        ("family", model.family),
        ("repository", model.repository),
        ("revision", model.revision),
        ("roles", ", ".join(sorted(role.value for role in model.roles))),
        ("skills", skills and f"{skills} (0 to 1; a prior until `appliance models onboard` measured it)"),
        ("prompts", model.prompt_set),
        ("tool parser", model.tool_parser or ""),
        ("reasoning parser", model.reasoning_parser or ""),
        ("number format", f"{model.quantization} in {model.dtype}" if model.quantization else model.dtype),
        ("context", f"{model.context_tokens:,} tokens"),
        ("source", " ".join(model.source.split())),
        ("derived", ", ".join(model.derived)),
    ]


def _shape(geometry: Geometry | None) -> list[tuple[str, str]]:
    if geometry is None:
        return []
    tied = "output head tied to the embedding" if geometry.tie_word_embeddings else "output head of its own"
    lines = [
        ("architecture", geometry.architecture),
        ("parameters", f"{geometry.parameters:,}"),
        ("hidden size", f"{geometry.hidden_size:,}, vocabulary {geometry.vocab_size:,}, {tied}"),
    ]
    lines += [("layers" if not number else "", _layers(group)) for number, group in enumerate(geometry.groups)]
    encoders = f"{geometry.vision_parameters:,} parameters" if geometry.vision_parameters else ""
    return [*lines, ("encoders", encoders)]


def _layers(group: LayerGroup) -> str:
    parts = []
    mixer, block = group.mixer, group.feed_forward
    if isinstance(mixer, Attention):
        heads = f"attention, {mixer.heads} heads, {mixer.kv_heads} KV heads of {mixer.head_size}"
        parts.append(f"{heads}, window {mixer.window_tokens:,}" if mixer.window_tokens else heads)
    elif isinstance(mixer, LatentAttention):
        parts.append(f"latent attention, {mixer.heads} heads, rank {mixer.kv_lora_rank} + {mixer.qk_rope_head_size}")
    elif isinstance(mixer, Recurrent):
        parts.append(f"{mixer.name}, {mixer.state_elements:,} numbers of state")
    if isinstance(block, FeedForward):
        parts.append(f"feed-forward {block.intermediate_size:,}")
    elif isinstance(block, Experts):
        shared = f" and {block.shared_intermediate_size:,} shared" if block.shared_intermediate_size else ""
        parts.append(
            f"{block.experts} experts of {block.intermediate_size:,}, {block.experts_per_token} per token{shared}"
        )
    return f"{group.count} × {'; '.join(parts)}"


def _memory(memory: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if memory is None:
        return []
    source = {"as stored": " (sum of the files)" if memory["exact"] else " (by the shape)"}
    weights = [f"{size(value)} {name}{source.get(name, '')}" for name, value in memory["weights_bytes"].items()]
    kv = [
        f"{value['bytes_per_token']:,.0f} bytes per token with kv_cache_dtype {name}; one request of the whole context "
        f"{size(value['longest_request_bytes'])}"
        for name, value in memory["kv"].items()
    ]
    return [
        *(("weights" if not number else "", line) for number, line in enumerate(weights)),
        *(("KV cache" if not number else "", line) for number, line in enumerate(kv)),
    ]


def _files(model: Model) -> list[tuple[str, str]]:
    if not model.files:
        return [("files", "none listed: the manifest approves no files yet")]
    return [
        ("files" if not number else "", f"{file.path}  {file.size_bytes:,} bytes  sha256 {file.sha256}")
        for number, file in enumerate(model.files)
    ]
