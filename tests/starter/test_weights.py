"""Every committed model is complete, readable, small, and the one that its card describes."""

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

WEIGHTS = Path(__file__).parents[2] / "models" / "starter" / "weights"
NAMES = ("starter-planner", "starter-math", "starter-text", "starter-verifier", "starter-generalist")
FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md")
BYTES_PER_VALUE = 2


def header(path: Path) -> dict[str, dict[str, Any]]:
    """The header of a safetensors file without its metadata."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        found: dict[str, dict[str, Any]] = json.loads(file.read(length))
    found.pop("__metadata__", None)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files_are_there_and_small(name: str) -> None:
    for file in FILES:
        assert (WEIGHTS / name / file).stat().st_size > 0
    assert sum(file.stat().st_size for file in (WEIGHTS / name).iterdir()) <= 8 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_weights_fit_the_configuration(name: str) -> None:
    config = json.loads((WEIGHTS / name / "config.json").read_text())
    tensors = header(WEIGHTS / name / "model.safetensors")
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert tensors["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    assert len(tensors) == 9 * config["num_hidden_layers"] + 2
    path = WEIGHTS / name / "model.safetensors"
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
    assert path.stat().st_size == 8 + length + max(ends)


def test_the_generalist_is_at_least_as_large_as_the_team() -> None:
    sizes = {name: (WEIGHTS / name / "model.safetensors").stat().st_size for name in NAMES}
    assert sizes["starter-generalist"] >= 0.99 * sum(
        size for name, size in sizes.items() if name != "starter-generalist"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_the_digest(name: str) -> None:
    digest = hashlib.sha256((WEIGHTS / name / "model.safetensors").read_bytes()).hexdigest()
    assert digest in re.findall(r"[0-9a-f]{64}", (WEIGHTS / name / "README.md").read_text())


def test_all_models_share_one_tokenizer() -> None:
    assert len({(WEIGHTS / name / "tokenizer.json").read_bytes() for name in NAMES}) == 1


def test_verdicts_digits_and_capitals_are_single_tokens() -> None:
    vocabulary = json.loads((WEIGHTS / NAMES[0] / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(vocabulary) <= 1024
    for token in ("pass", "fail", *"0123456789", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        assert token in vocabulary
    assert not [token for token in vocabulary if len(token) > 1 and re.search(r"[0-9]", token)]
