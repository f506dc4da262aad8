from __future__ import annotations

import pytest

from appliance.coordinator.checks.quotes import check_quotes

TEXT = {"s1": "The pump was replaced\non 3 May,  after “two failures” in a week.", "question": "When was it replaced?"}


@pytest.mark.parametrize(
    "result",
    [
        'It says "replaced on 3 May".',
        "“The pump was replaced on 3 May,” the report says.",
        'See "The pump […] in a week" and "When was it replaced?"',
        "«in a week»",
        "The pump was replaced on 3 May",
    ],
)
def test_passages_that_stand_there_pass_whatever_the_white_space(result: str) -> None:
    assert check_quotes(result, TEXT).ok


@pytest.mark.parametrize(
    "result",
    [
        'It says "replaced on 4 May".',
        '"replaced on 3 May" and "the pump failed"',
        "The pump failed",
        '"…"',
        '"the pump"',
    ],
)
def test_a_passage_that_stands_nowhere_is_named(result: str) -> None:
    reason = check_quotes(result, TEXT).reason
    assert reason.startswith("this passage does not stand in s1 or question word for word: ")


def test_pieces_of_one_passage_come_from_one_text() -> None:
    assert not check_quotes('"The pump … When was it replaced?"', TEXT).ok
