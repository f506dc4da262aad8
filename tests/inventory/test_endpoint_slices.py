"""What is heard of EndpointSlices: whatever comes twice, late or in the wrong order, the truth comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.inventory.endpoint_slices import Next, SliceBook, SliceError, doors_of
from tests.fakes.kubernetes_api import slice_of

A, B = "10.0.0.1", "10.0.0.2"


def event(kind: str, thing: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": thing}


def test_a_door_is_there_while_its_endpoint_is_ready() -> None:
    book = SliceBook("door")
    book.listed([slice_of("s", 5, {A: True, B: None})], "5")
    assert book.doors == {f"http://{A}:8090", f"http://{B}:8090"}
    book.heard(event("MODIFIED", slice_of("s", 6, {A: False, B: True})))
    assert (book.doors, book.version) == (frozenset({f"http://{B}:8090"}), "6")
    book.heard(event("DELETED", slice_of("s", 7, {B: True})))
    assert (book.doors, book.version) == (frozenset(), "7")


def test_one_that_is_about_to_end_or_has_no_door_is_none() -> None:
    ending = slice_of("s", 1, {A: True})
    ending["endpoints"][0]["conditions"]["terminating"] = True
    assert doors_of(ending, "door") == frozenset()
    assert doors_of(slice_of("s", 1, {A: True}), "another") == frozenset()
    assert doors_of({"ports": None, "endpoints": None}, "door") == frozenset()
    assert doors_of(slice_of("s", 1, {"fd00::7": True}), "door") == {"http://[fd00::7]:8090"}


@pytest.mark.parametrize(
    "said",
    [
        {"type": "ADDED"},
        {"type": "ADDED", "object": {"metadata": {"name": "s"}}},
        {"type": "ADDED", "object": {"metadata": {"resourceVersion": "1"}}},
        event("ADDED", slice_of("s", 1, {"evil.example/x": True})),
        event("ADDED", slice_of("s", 1, {A: True}) | {"ports": [{"name": "door", "port": "many"}]}),
        event("ERROR", {"code": 500}),
    ],
)
def test_what_is_not_understood_is_said(said: dict[str, Any]) -> None:
    with pytest.raises(SliceError):
        SliceBook("door").heard(said)


def test_gone_asks_for_a_list_and_a_bookmark_only_moves_on() -> None:
    book = SliceBook("door", "5")
    assert book.heard(event("ERROR", {"code": 410})) is Next.LIST
    assert book.heard(event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})) is Next.GO_ON
    assert (book.version, book.doors) == ("9", frozenset())


def test_versions_that_are_no_numbers_are_believed_in_the_order_they_come() -> None:
    book = SliceBook("door")
    thing = slice_of("s", 1, {A: True})
    thing["metadata"]["resourceVersion"] = "b"
    book.heard(event("ADDED", thing))
    other = slice_of("s", 1, {B: True})
    other["metadata"]["resourceVersion"] = "a"
    book.heard(event("MODIFIED", other))
    assert book.doors == {f"http://{B}:8090"}


CHANGE = st.tuples(st.sampled_from(["s", "t"]), st.dictionaries(st.sampled_from([A, B]), st.booleans()), st.booleans())


@settings(max_examples=300, deadline=None)
@given(st.lists(CHANGE, max_size=12), st.data())
def test_repeated_and_late_events_change_nothing(
    changes: list[tuple[str, dict[str, bool], bool]], data: st.DataObject
) -> None:
    """Each event is delivered once in order, and any of the earlier ones again at any time between."""
    truth: dict[str, dict[str, Any]] = {}
    sent: list[dict[str, Any]] = []
    book = SliceBook("door")
    book.listed([], "100")
    for version, (name, addresses, delete) in enumerate(changes, 101):
        thing = slice_of(name, version, addresses)
        if delete and name in truth:
            del truth[name]
            sent.append(event("DELETED", thing))
        else:
            sent.append(event("MODIFIED" if name in truth else "ADDED", thing))
            truth[name] = thing
        book.heard(sent[-1])
        for _ in range(data.draw(st.integers(0, 3))):
            book.heard(data.draw(st.sampled_from(sent)))
    assert book.doors == frozenset().union(*(doors_of(thing, "door") for thing in truth.values()))
    assert book.version == str(100 + len(changes))
