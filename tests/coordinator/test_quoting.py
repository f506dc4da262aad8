from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.quoting import defused, quoted
from tests.coordinator.injections import corpus


@given(st.text())
def test_what_is_quoted_says_the_same_on_one_line(text: str) -> None:
    line = quoted(text)
    assert json.loads(line) == text
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("text", sorted({one.text for one in corpus()}))
def test_no_marker_of_a_chat_template_survives(text: str) -> None:
    for harmless in (quoted(text), defused(text)):
        for marker in ("<|im_end|>", "<|im_start|>", "<|eot_id|>", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>"):
            assert marker not in harmless


@pytest.mark.parametrize("text", ["a < b", "if a<3: x[0]", "[1, 2]", "[A]", "-> <=", "«x»"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert quoted(text) == f'"{text}"'
    assert defused(text) == text
