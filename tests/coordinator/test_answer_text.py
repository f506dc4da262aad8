from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.answer_text import AnswerSplitter


def split(pieces: list[str], separator: str | None) -> tuple[str, str]:
    splitter = AnswerSplitter(separator)
    out = [splitter.push(piece) for piece in pieces] + [splitter.end()]
    return "".join(p.working for p in out), "".join(p.answer for p in out)


@given(st.lists(st.text(alphabet="ab;</>", max_size=5), max_size=12), st.sampled_from([";", "</a>", ";;"]))
def test_the_cut_does_not_depend_on_the_pieces(pieces: list[str], separator: str) -> None:
    whole = "".join(pieces)
    working, found, answer = whole.rpartition(separator)
    assert split(pieces, separator) == (working + found, answer.strip())


@given(st.lists(st.text(max_size=5), max_size=12))
def test_without_a_separator_all_is_answer_as_it_comes(pieces: list[str]) -> None:
    splitter = AnswerSplitter(None)
    assert [splitter.push(piece).answer for piece in pieces] == pieces
    assert splitter.end().answer == ""


@pytest.mark.parametrize("end", ["", "; 42"])
def test_an_answer_is_held_back_until_the_end(end: str) -> None:
    splitter = AnswerSplitter(";")
    assert splitter.push("a; 41" + end).answer == ""
    assert splitter.end().answer == ("42" if end else "41")
