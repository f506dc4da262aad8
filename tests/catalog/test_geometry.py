"""Safetensors headers and config.json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.catalog.geometry import LENGTH_BYTES, ConfigFacts, config_facts, header_length, tensors_of
from tests.catalog.tiny_model import safetensors


def read(file: bytes) -> dict[str, Any]:
    length = header_length(file[:LENGTH_BYTES], len(file))
    return dict(tensors_of(file[LENGTH_BYTES : LENGTH_BYTES + length], len(file)))


def test_tensors_and_sizes() -> None:
    tensors = read(safetensors(a=("BF16", [4, 4], 32), b=("F8_E4M3", [3], 3), c=("F4", [4], 2), d=("F32", [], 4)))
    assert {name: (t.elements, t.size_bytes) for name, t in tensors.items()} == {
        "a": (16, 32),
        "b": (3, 3),
        "c": (4, 2),
        "d": (1, 4),
    }


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "too short"),
        (b"\xff" * 16, "does not fit"),
        ((5).to_bytes(8, "little") + b"{no}}", "no JSON"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON object"),
        (safetensors(a=("BF16", [4], 8))[:-1], "cut off"),
        (safetensors(a=("BF16", [4], 8)) + b"x", "garbled"),
        (safetensors(a=("BF16", [4], 7)), "tensor a makes no sense"),
        (safetensors(a=("XX", [4], 8)), "tensor a makes no sense"),
        (safetensors(a=("BF16", [-4], -8)), "tensor a makes no sense"),
    ],
)
def test_broken_files_are_refused(file: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(file)


@pytest.mark.parametrize("offsets", [([0, 4], [2, 6]), ([0, 4], [6, 10]), ([2, 6], [6, 10])])
def test_overlaps_and_gaps_are_refused(offsets: tuple[list[int], list[int]]) -> None:
    entries = {str(i): {"dtype": "U8", "shape": [4], "data_offsets": span} for i, span in enumerate(offsets)}
    header = json.dumps(entries).encode()
    with pytest.raises(ValueError, match="overlap or leave gaps"):
        tensors_of(header, LENGTH_BYTES + len(header) + 10)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_is_always_a_value_error(header: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="it"):
        tensors_of(header, size)


def test_config_facts() -> None:
    text = {"max_position_embeddings": 4096, "torch_dtype": "float16"}
    assert config_facts({"architectures": ["A"], **text}) == ConfigFacts("A", 4096, "float16")
    assert config_facts({"architectures": ["A"], "text_config": text}) == ConfigFacts("A", 4096, "float16")
    with pytest.raises(ValueError, match="lacks architectures or max_position_embeddings"):
        config_facts({"architectures": ["A"]})
