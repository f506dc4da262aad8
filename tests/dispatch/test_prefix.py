"""Rendezvous hashing: everybody agrees, engines share evenly, and a change moves only what it must."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.dispatch.prefix import at_home, prefix_of_messages, prefix_of_text

IDS = st.lists(st.text("abcm-0123456789", min_size=1, max_size=12), min_size=1, max_size=8, unique=True)
NUMBERS = st.integers(0, 2**64 - 1)


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@given(NUMBERS, IDS)
def test_the_order_of_the_question_does_not_matter(prefix: int, engine_ids: list[str]) -> None:
    home = at_home(prefix, engine_ids)
    assert home == at_home(prefix, engine_ids[::-1])
    assert sorted(home.values(), reverse=True) == [0.5**rank for rank in range(len(engine_ids))]


@given(NUMBERS, IDS)
def test_an_engine_that_goes_moves_only_what_was_at_home_there(prefix: int, engine_ids: list[str]) -> None:
    home = at_home(prefix, engine_ids)
    order = sorted(home, key=home.__getitem__, reverse=True)
    for gone in engine_ids:
        left = at_home(prefix, [engine_id for engine_id in engine_ids if engine_id != gone])
        assert sorted(left, key=left.__getitem__, reverse=True) == [e for e in order if e != gone]


def test_conversations_are_spread_evenly() -> None:
    engine_ids = [f"m-{number}" for number in range(5)]
    homes = Counter[str]()
    for number in range(5_000):
        home = at_home(prefix_of_text("salt", f"question {number}"), engine_ids)
        homes[max(home, key=home.__getitem__)] += 1
    assert all(0.9 < count / 1_000 < 1.1 for count in homes.values())


def test_a_conversation_keeps_its_name_from_turn_to_turn() -> None:
    first = [message("system", "Be brief."), message("user", "What is an engine?")]
    later = [*first, message("assistant", "A process."), message("user", "And a replica?")]
    name = prefix_of_messages("salt", first)
    assert prefix_of_messages("salt", later) == name
    assert prefix_of_messages("another tenant", later) != name
    assert prefix_of_messages("salt", [message("user", "What is an engine?")]) != name
    assert prefix_of_messages("salt", [*first[:1], message("user", [{"type": "text", "text": "parts"}])]) != name
    assert prefix_of_messages("salt", [message("assistant", None)]) == prefix_of_messages("salt", [{}])


def test_names_and_orders_are_the_same_in_every_process() -> None:
    assert prefix_of_text("s", "hello") == 0x86B1CB13B34F16FC
    assert at_home(12345, ["a", "b", "c"]) == {"a": 1.0, "c": 0.5, "b": 0.25}
