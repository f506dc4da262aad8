"""Whatever is done to a chain is found, and the record is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.audit import Accepted, Act, Finished
from appliance.ledger.audit_chain import Break, Head, first_break, linked, parsed, signed, start
from appliance.ledger.audit_records import digest_of, record_of
from tests.fakes.usage import passed_through

KEY = b"k" * 32


def chain(count: int, name: str = "0") -> tuple[list[bytes], Head]:
    """Lines with their ends, and the head."""
    link, lines = start(name), []
    for number in range(count):
        line, link = linked(
            link, {"at": 1000.0 + number, "kind": "accepted", "tenant": "acme", "trace_id": f"t{number}"}
        )
        lines.append(line + b"\n")
    return lines, signed(name, link, KEY)


def break_of(lines: list[bytes], *heads: Head, first: int = 1) -> Break | None:
    return first_break("0", lines, heads, KEY, first)[0]


def test_a_chain_that_nobody_touched_stands() -> None:
    lines, head = chain(5)
    assert first_break("0", lines, [head], KEY) == (None, first_break("0", lines, [head], KEY)[1])
    assert first_break("0", lines, [head], KEY)[1].number == 5
    assert break_of(*chain(0)) is None


@given(st.integers(1, 8), st.data())
def test_every_single_edit_is_found_at_its_record_or_the_next(count: int, data: st.DataObject) -> None:
    lines, head = chain(count)
    number = data.draw(st.integers(0, count - 1))
    position = data.draw(st.integers(0, len(lines[number]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != lines[number][position]))
    changed = bytearray(lines[number])
    changed[position] = byte
    read = b"".join([*lines[:number], bytes(changed), *lines[number + 1 :]]).splitlines(keepends=True)
    found = break_of(read, head)
    assert found is not None
    assert found.number in (number + 1, number + 2)


@given(st.integers(1, 8), st.data())
def test_every_deletion_is_found(count: int, data: st.DataObject) -> None:
    lines, head = chain(count)
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    found = break_of([*lines[:first], *lines[last + 1 :]], head)
    assert found is not None
    assert found.number == first + 1


@given(st.integers(2, 8), st.data())
def test_every_swap_is_found(count: int, data: st.DataObject) -> None:
    lines, head = chain(count)
    one, other = data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
    lines[one], lines[other] = lines[other], lines[one]
    found = break_of(lines, head)
    assert found is not None
    assert found.number == min(one, other) + 1


@given(st.integers(1, 8), st.data())
def test_every_truncation_is_found_to_the_byte(count: int, data: st.DataObject) -> None:
    lines, head = chain(count)
    whole = b"".join(lines)
    left = data.draw(st.integers(0, len(whole) - 1))
    found = break_of(whole[:left].splitlines(keepends=True), head)
    assert found is not None
    assert found.number == whole[:left].count(b"\n") + 1


@given(st.integers(1, 8), st.data())
def test_every_insertion_is_found(count: int, data: st.DataObject) -> None:
    lines, head = chain(count)
    position = data.draw(st.integers(0, count - 1))
    forged = data.draw(st.sampled_from([lines[position], b"\n", b"{}\n", lines[0], b"[1]\n", b"null\n"]))
    found = break_of([*lines[:position], forged, *lines[position:]], head)
    assert found is not None


def test_a_chain_that_was_made_anew_after_an_edit_does_not_fit_its_head() -> None:
    lines, head = chain(5)
    link, forged = start("0"), []
    for line in lines:
        record = dict(parsed(line) or {})
        record = {name: value for name, value in record.items() if name not in ("n", "prev")} | {"tenant": "other"}
        again, link = linked(link, record)
        forged.append(again + b"\n")
    found = break_of(forged, head)
    assert found is not None
    assert "not the one that the head names" in found.problem
    assert break_of(forged, signed("0", link, b"x" * 32)) is not None, "without the key there is no head for it"
    assert break_of(forged, signed("0", link, KEY)) is None, "whoever has the key can do it"
    assert break_of(forged, signed("0", link, KEY), head) is not None, "unless a head was kept apart"


def test_heads_that_are_changed_missing_or_of_another_chain_are_found() -> None:
    lines, head = chain(5)
    for changed in (replace(head, number=4), replace(head, digest="0" * 64), replace(head, chain="1")):
        assert break_of(lines, changed) is not None
    assert break_of(lines) is not None
    other, other_head = chain(5, "1")
    assert break_of(other, head) is not None
    assert break_of(lines, other_head) is not None


def test_half_a_line_behind_the_head_is_no_break() -> None:
    lines, head = chain(5)
    assert break_of([*lines, b'{"n":6,"pr'], head) is None
    assert break_of([*lines[:4], lines[4][:-1]], head) is not None
    more, _ = chain(7)
    assert break_of(more, head) is None, "the process was killed between the records and their head"


def test_segments_that_are_elsewhere_are_left_out_only_when_the_auditor_says_so() -> None:
    lines, head = chain(9)
    assert break_of(lines[4:], head) is not None
    assert break_of(lines[4:], head, first=5) is None
    assert break_of(lines[5:], head, first=5) is not None


def test_records_hold_no_contents() -> None:
    accepted = Accepted("r", "t", "acme", "key ab12", "/v1/chat/completions", "auto", ("secret",), 200, "", b"QEXAR")
    record = record_of(accepted, 5.0, KEY)
    assert "QEXAR" not in str(record)
    assert (record["body_bytes"], record["body_hmac"]) == (5, digest_of(b"QEXAR", KEY))
    assert record["body_hmac"] != digest_of(b"QEXAR", b"x" * 32)
    assert (record["tenant"], record["credential"], record["labels"]) == ("acme", "key ab12", ("secret",))
    call = passed_through()
    finished = record_of(Finished("r", "t", "ok", call=call), 5.0, KEY)
    line, _ = linked(start("0"), finished)
    assert (parsed(line) or {})["call"]["usage"] == {"prompt_tokens": 20, "completion_tokens": 5, "cached_tokens": 8}
    act = record_of(Act("keys.create", "k1", "acme", "key ab12", {"scope": "admin"}), 5.0, KEY)
    assert (act["kind"], act["what"], act["details"]) == ("act", "keys.create", {"scope": "admin"})


@pytest.mark.parametrize("line", [b"", b"{", b"5", b'{"n":"1","prev":"x"}', b'{"n":1}', b"\xff"])
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert parsed(line) is None
