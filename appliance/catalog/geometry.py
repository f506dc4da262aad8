"""What a model's own files say about it: safetensors headers and config.json, as bytes and dicts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit (safetensors, MAX_HEADER_SIZE)."""

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
    "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        """Product of the shape."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What config.json says for the manifest."""

    architecture: str
    context_tokens: int
    dtype: str


def header_length(head: bytes, file_bytes: int) -> int:
    """Bytes of the JSON header after the first eight bytes of a safetensors file. ValueError when that can't be."""
    if len(head) < LENGTH_BYTES:
        raise ValueError("it is too short for a safetensors file")
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES or LENGTH_BYTES + length > file_bytes:
        raise ValueError("its header does not fit into the file: it is cut off, or no safetensors file")
    return length


def tensors_of(header: bytes, file_bytes: int) -> Mapping[str, Tensor]:
    """The tensors that a header names; together they must fill the rest of the file exactly. ValueError otherwise."""
    try:
        document = json.loads(header)
    except ValueError:
        raise ValueError("its header is no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("its header is no JSON object")
    ranges, tensors = [], {}
    for name, entry in document.items():
        if name != "__metadata__":
            tensors[name], span = _tensor(name, entry)
            ranges.append(span)
    end = 0
    for start, stop in sorted(ranges):
        if start != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = stop
    expected = LENGTH_BYTES + len(header) + end
    if expected != file_bytes:
        raise ValueError(f"it has {file_bytes} bytes where its header says {expected}: it is cut off or garbled")
    return tensors


def config_facts(config: Mapping[str, Any]) -> ConfigFacts:
    """Architecture, context and number format; of the language model where several are nested. ValueError."""
    text = config.get("text_config") or config
    architectures = config.get("architectures") or []
    context = text.get("max_position_embeddings")
    if len(architectures) != 1 or not isinstance(context, int):
        raise ValueError("config.json lacks architectures or max_position_embeddings")
    dtype = text.get("dtype") or text.get("torch_dtype") or config.get("torch_dtype") or "float32"
    return ConfigFacts(str(architectures[0]), context, str(dtype))


def _tensor(name: str, entry: Any) -> tuple[Tensor, tuple[int, int]]:
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        bits = DTYPE_BITS[dtype] * prod(shape)
        sound = all(type(n) is int and n >= 0 for n in (*shape, start, stop)) and (stop - start) * 8 == bits
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(f"the header's entry of tensor {name[:80]} makes no sense")
    return Tensor(dtype, shape, stop - start), (start, stop)
