"""A model directory with a shape that the memory model knows, in a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.catalog.tiny_model import safetensors

CONFIG: dict[str, Any] = {
    "_name_or_path": "someone/Small-LM",
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 32,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "rope_theta": 10000.0,
}
CARD = "---\nlicense: apache-2.0\n---\n# Small LM\n"
EMBEDDING, ATTENTION, BLOCK, NORMS = 32 * 8, 8 * (8 + 4 + 4 + 8), 3 * 8 * 16, 3 * 8
PARAMETERS = EMBEDDING + ATTENTION + BLOCK + NORMS


def write_model(directory: Path, **changes: Any) -> None:
    """config.json with `changes` (None: without the key), two shards with their index, tokenizer and card."""
    directory.mkdir(parents=True)
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "README.md").write_text(CARD)
    rest = PARAMETERS - EMBEDDING
    shards = {"one.safetensors": ("embed", EMBEDDING), "two.safetensors": ("rest", rest)}
    for file, (name, count) in shards.items():
        (directory / file).write_bytes(safetensors(**{name: ("BF16", [count], 2 * count)}))
    index = {"weight_map": {name: file for file, (name, _) in shards.items()}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
