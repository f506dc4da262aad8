"""A model directory of a few bytes, and its manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UPPER = """\
# a comment that stays
id: tiny
repository: embedded
licence: Apache-2.0
publisher: this project
country: none
family: starter
roles: [executor]
skills: {math: 1.0}
prompt_set: starter
"""


def safetensors(**tensors: tuple[str, list[int], int]) -> bytes:
    """A file with the named tensors (dtype, shape, bytes), all zero."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(max(0, end))


def write_tiny(directory: Path) -> None:
    """config.json, a tokenizer and 20 parameters."""
    directory.mkdir(parents=True)
    config = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 1024, "dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "README.md").write_text("a card")
    (directory / "model.safetensors").write_bytes(safetensors(a=("BF16", [4, 4], 32), b=("F32", [4], 16)))
