"""No byte of an answer leaves before its record is written, and every way to end is recorded."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from appliance.domain.audit import Accepted, Finished
from appliance.domain.request import ContentDelta, Usage
from appliance.domain.request import Finished as Answered
from appliance.errors import EngineUnavailable
from tests.fakes.audit import MemoryAudit
from tests.fakes.fake_coordinator import FakeCoordinator, Hang, Step
from tests.fakes.polling import until
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, call, chat, drive

DONE = Answered("stop", Usage(3, 1), "t", "direct", 1)
PATH = "/v1/chat/completions"


def house(*steps: Step, audit: MemoryAudit) -> House:
    return House(FakeCoordinator(steps), audit=audit)


@pytest.mark.parametrize("stream", [False, True])
def test_who_asked_for_what_and_how_it_ended(stream: bool) -> None:
    audit = MemoryAudit()
    body = json.dumps(chat(stream=stream, labels=["secret"])).encode()
    reply = call(house(ContentDelta("42"), DONE, audit=audit).app, body=body)
    accepted, finished = audit.events
    assert isinstance(accepted, Accepted)
    assert isinstance(finished, Finished)
    assert (accepted.tenant, accepted.path, accepted.model, accepted.status) == ("default", PATH, "auto", 200)
    assert (accepted.labels, accepted.body, accepted.refusal) == (("secret",), body, "")
    assert accepted.trace_id == finished.trace_id == reply.headers["x-trace-id"]
    assert accepted.request_id == finished.request_id == reply.headers["x-request-id"]
    assert (finished.outcome, finished.strategy) == ("ok", "direct")
    assert finished.answer_bytes == len(reply.body)
    assert finished.answer_digest == hashlib.sha256(reply.body).hexdigest()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("steps", [(ContentDelta("42"), DONE), (EngineUnavailable("none"),)])
def test_where_nothing_can_be_recorded_nothing_leaves_but_a_503(stream: bool, steps: tuple[Step, ...]) -> None:
    audit = MemoryAudit(failing=True)
    target = house(*steps, audit=audit)
    reply = call(target.app, body=chat(stream=stream))
    assert (reply.status, reply.error["code"]) == (503, "audit_unavailable")
    assert "no room" in reply.error["message"]
    assert reply.headers["retry-after"] == "5"
    assert b"42" not in reply.body
    assert [type(event) for event in audit.events] == [Finished], "the end is told as soon as there is room"


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_byte_waits_for_the_record(stream: bool) -> None:
    async def main() -> None:
        audit = MemoryAudit(slow=asyncio.Event())
        target = house(ContentDelta("42"), DONE, audit=audit)
        answering = asyncio.create_task(drive(target.app, "POST", PATH, json.dumps(chat(stream=stream)).encode()))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not answering.done()
        assert not audit.events
        assert audit.slow is not None
        audit.slow.set()
        assert b"42" in (await answering).body

    asyncio.run(main())


def test_what_is_refused_is_recorded_too() -> None:
    audit = MemoryAudit()
    target = house(EngineUnavailable("none"), audit=audit)
    assert call(target.app, body=b"{no json").status == 400
    assert call(target.app, body=chat()).status == 503
    assert call(target.app, headers=[(b"authorization", b"Bearer wrong-key-that-is-long")]).status == 401
    recorded = [event for event in audit.events if isinstance(event, Accepted)]
    assert [event.refusal for event in recorded] == ["InvalidRequest", "EngineUnavailable"], "nobody is known at a 401"
    assert [event.outcome for event in audit.events if isinstance(event, Finished)] == ["error", "error"]


def test_a_caller_that_goes_away_is_recorded() -> None:
    async def main() -> None:
        audit = MemoryAudit()
        target = house(ContentDelta("4"), Hang(), audit=audit)
        body = json.dumps(chat(stream=True)).encode()
        answering = asyncio.create_task(drive(target.app, "POST", PATH, body))
        await until(lambda: bool(audit.events))
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert isinstance(audit.events[-1], Finished)
        assert audit.events[-1].outcome == "cancelled"

    asyncio.run(main())


def test_whoever_reads_a_trace_is_recorded_and_other_paths_are_not() -> None:
    audit = MemoryAudit()
    target = house(audit=audit)
    target.traces.traces.append(repaired_trace("abc"))
    assert call(target.app, "GET", "/v1/traces/abc").status == 200
    for path in ("/v1/traces", "/v1/models", "/health", "/metrics", "/v1/usage"):
        assert call(target.app, "GET", path).status == 200
    accepted, _ = audit.events
    assert isinstance(accepted, Accepted)
    assert accepted.path == "/v1/traces/abc"
    assert KEY not in str(audit.events)
