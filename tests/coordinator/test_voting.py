"""Votes: which answers are the same, who wins, and that stopping early never changes who."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.prompt_set import AnswerForm
from appliance.coordinator.voting import Ballot, fewest_to_decide, normalised, winner

KEYS = st.sampled_from("abcd")
BALLOTS = st.lists(st.tuples(KEYS, st.floats(-50, 0)), min_size=1, max_size=9).map(
    lambda votes: [Ballot(number, key, logprob) for number, (key, logprob) in enumerate(votes, 1)]
)


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (" 79 ", "79"),
        ("79.", "79"),
        ("**79**", "79"),
        ("$79$", "79"),
        ("79.0", "79"),
        ("79.50", "79.5"),
        ("+79", "79"),
        ("-79", "-79"),
        ("−79", "-79"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("1,234,567", "1234567"),
        ("1,23", "1,23"),
        ("1e999999999", "1e999999999"),
        ("Paris", "paris"),
        ('"Paris."', "paris"),
        ("new   York\n", "new york"),
        ("７９", "79"),
        ("3 apples", "3 apples"),
        ('{"b": 1, "a": [1, 2]}', '{"a":[1,2],"b":1}'),
        ("[not json", "not json"),
        ("", ""),
    ],
)
def test_spelling_does_not_count(answer: str, key: str) -> None:
    assert normalised(answer) == key


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("First 12*7=84.\nThen 84-5=79.\n\nThe answer is 79.", "79"),
        ("Final answer: **79**\n", "79"),
        ("So, the final answer is: $1,079$", "1079"),
        (r"Thus \boxed{5} pens, no: \boxed{\frac{1}{2}} of them.", r"\frac{1}{2}"),
        (r"\boxed{79", r"\boxed{79"),
        ("Answering this takes long", "answering this takes long"),
        ("", ""),
    ],
)
def test_of_prose_its_end_counts(answer: str, key: str) -> None:
    assert normalised(answer, AnswerForm.LAST_LINE) == key


@given(st.integers(-(10**9), 10**9))
def test_a_number_is_the_same_however_it_is_written(number: int) -> None:
    assert {normalised(text) for text in (f"{number}", f"{number:,}", f"{number}.00", f" {number}. ")} == {str(number)}


@given(st.text(max_size=60), st.sampled_from(AnswerForm))
def test_any_text_has_a_key(text: str, form: AnswerForm) -> None:
    assert normalised(text, form) == normalised(f"  {text}\n", form)


def test_ties_go_to_the_likeliest_and_then_to_the_first() -> None:
    unlikely, likely = Ballot(1, "a", -9.0), Ballot(2, "b", -1.0)
    assert winner([unlikely, likely]) == (likely, 1)
    assert winner([Ballot(2, "b", -1.0), Ballot(1, "a", -1.0)])[0].number == 1
    assert winner([unlikely, likely, Ballot(3, "a", -8.0)]) == (unlikely, 2)
    with pytest.raises(ValueError, match="no ballots"):
        winner([])


@given(BALLOTS)
def test_the_winner_has_the_most_votes(ballots: list[Ballot]) -> None:
    chosen, votes = winner(ballots)
    keys = [ballot.key for ballot in ballots]
    assert votes == keys.count(chosen.key) == max(map(keys.count, keys))
    assert chosen == next(ballot for ballot in ballots if ballot.key == chosen.key)


@given(BALLOTS, st.data())
def test_once_it_is_certain_no_vote_to_come_changes_the_winner(ballots: list[Ballot], data: st.DataObject) -> None:
    counted = data.draw(st.integers(1, len(ballots)))
    early, left = ballots[:counted], len(ballots) - counted
    needed = fewest_to_decide([ballot.key for ballot in early], left)
    assert 0 <= needed <= left
    if needed == 0:
        assert winner(early)[0] == winner(ballots)[0]


@given(st.lists(KEYS, max_size=9), st.integers(0, 9))
def test_so_many_agreeing_votes_decide_it_and_no_fewer(keys: list[str], left: int) -> None:
    needed = fewest_to_decide(keys, left)
    leader = max(keys, key=keys.count) if keys else "a"
    if needed < left:
        assert fewest_to_decide([*keys, *[leader] * needed], left - needed) == 0
    if needed:
        fewer = needed - 1
        assert fewest_to_decide([*keys, *[leader] * fewer], left - fewer) > 0


def test_nobody_has_voted_yet() -> None:
    assert [fewest_to_decide([], left) for left in range(6)] == [0, 1, 2, 2, 3, 3]
