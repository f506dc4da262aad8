from __future__ import annotations

from dataclasses import replace

from appliance.domain.audit import Accepted, AuditEvent, Finished
from appliance.domain.trace import Outcome
from appliance.ledger.audit_chain import linked, start
from appliance.ledger.audit_records import record_of
from appliance.ledger.interrupted import ERROR
from appliance.ledger.unrecorded import WITHIN_S, seen
from tests.fakes.usage import passed_through

ACCEPTED = Accepted("r1", "t1", "acme", "key ab", "/v1/chat/completions", "auto", status=200)
FINISHED = Finished("r1", "t1", "ok")


def lines(*events: tuple[float, AuditEvent]) -> list[bytes]:
    link, made = start("0"), []
    for at_s, event in events:
        line, link = linked(link, record_of(event, at_s, b"k"))
        made.append(line + b"\n")
    return made


def test_a_request_that_began_to_be_answered_becomes_an_interrupted_trace() -> None:
    found = seen(lines((1000.0, ACCEPTED)))["t1"]
    trace = found.trace
    assert (trace.request_id, trace.tenant, trace.requested_model) == ("r1", "acme", "auto")
    assert (trace.created_unix_s, trace.outcome, trace.error, trace.calls) == (1000.0, Outcome.INTERRUPTED, ERROR, ())
    assert found.call is None
    ended = seen(lines((1000.0, ACCEPTED), (1002.5, FINISHED)))["t1"]
    assert (ended.trace.duration_s, ended.call) == (2.5, None)


def test_what_the_fast_path_consumed_comes_back_as_it_was() -> None:
    call = replace(passed_through("t1"), outcome=Outcome.ERROR, first_byte_s=None)
    assert seen(lines((1000.0, ACCEPTED), (1000.1, replace(FINISHED, call=call))))["t1"].call == call


def test_refusals_looks_at_traces_and_what_is_long_past_are_none() -> None:
    assert seen(lines((1000.0, replace(ACCEPTED, status=0, refusal="InvalidRequest")))) == {}
    assert seen(lines((1000.0, replace(ACCEPTED, status=400)))) == {}
    assert seen(lines((1000.0, replace(ACCEPTED, path="/v1/traces/t9")))) == {}
    later = replace(ACCEPTED, trace_id="t2")
    assert set(seen(lines((1000.0, ACCEPTED), (1000.0 + WITHIN_S + 1, later)))) == {"t2"}


def test_half_a_line_and_what_another_version_wrote_are_left_out() -> None:
    whole = lines((1000.0, ACCEPTED), (1000.1, FINISHED))
    changed = whole[1].replace(b'"outcome"', b'"call":{"x":1},"outcome"')
    assert seen([b'99,"kind":"accepted"}\n', whole[0], changed])["t1"].call is None
