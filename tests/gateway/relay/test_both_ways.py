"""The same request through the fast path and through the ordinary route: answers, errors, usage, metrics and traces."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from appliance.domain.trace import CallRecord, Outcome
from appliance.domain.usage import PassThroughCall
from tests.fakes.answers import Answer, Fault, FaultKind
from tests.gateway.pool import tool_call
from tests.gateway.relay.house import MODEL, Door, Reply, ask, house, replicas

TOOL = {"type": "function", "function": {"name": "sell", "parameters": {"type": "object"}}}

SCRIPT = {
    "Sell": tool_call("sell", '{"pens":', " 5}"),
    "long": Answer("one two three four five six", prompt_tokens=50),
    "huge": Answer("x", prompt_tokens=9_999),
    "*": "There are 79 pens left.",
}

REQUESTS: dict[str, dict[str, Any]] = {
    "plain": ask(),
    "system": {"model": MODEL, "messages": [{"role": "system", "content": "Be brief."}, *ask()["messages"]]},
    "sampled": ask(temperature=0.5, top_p=0.9, seed=3, stop=["\n"], max_tokens=20, presence_penalty=0.1),
    "cut": ask("long", max_tokens=2),
    "tools": ask("Sell five", tools=[TOOL], tool_choice="auto"),
    "developer": {
        "model": MODEL,
        "messages": [{"role": "developer", "content": "Go."}, *ask()["messages"]],
        "user": "u",
    },
    "parts": {"model": MODEL, "messages": [{"role": "user", "content": [{"type": "text", "text": "Which?"}]}]},
    "limited": ask(max_completion_tokens=3),
    "salted": ask(cache_salt="mine"),
    "too long": ask("huge"),
}

REFUSED: dict[str, dict[str, Any]] = {
    "priority": ask(priority=1),
    "unknown field": ask(colour="red"),
    "wrong type": ask(temperature="hot"),
    "out of range": ask(temperature=3),
    "too many": ask(n=99),
    "no messages": {"model": MODEL, "messages": []},
    "unknown model": {"model": "nobody", "messages": ask()["messages"]},
    "media": ask([{"type": "image_url", "image_url": {"url": "http://evil/x.png"}}]),  # type: ignore[arg-type]  # parts, where others have a text
    "options without stream": ask(stream_options={"include_usage": True}),
    "label": ask(labels=["secret"]),
    "strategy": ask(strategy="cascade"),
}

FAULTS = {
    "400": Fault(FaultKind.HTTP, status=400),
    "404": Fault(FaultKind.HTTP, status=404),
    "429": Fault(FaultKind.HTTP, status=429),
    "500": Fault(FaultKind.HTTP, status=500),
    "503": Fault(FaultKind.HTTP, status=503),
    "reset": Fault(FaultKind.RESET),
    "abort": Fault(FaultKind.ABORT, after_tokens=2),
    "error": Fault(FaultKind.ERROR_EVENT),
    "truncated": Fault(FaultKind.TRUNCATED, after_tokens=0),
}


def comparable(reply: Reply) -> dict[str, Any]:
    """What a caller reads of a whole answer or an error; ids are checked for their form only."""
    said = reply.json()
    if "error" in said:
        return {"status": reply.status, "error": said["error"], "retry": reply.headers.get("retry-after")}
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", said["id"])
    (choice,) = said["choices"]
    message = {key: value for key, value in choice["message"].items() if value and key != "refusal"}
    tokens = {key: value for key, value in said["usage"].items() if key != "prompt_tokens_details"}
    return {"model": said["model"], "message": message, "why": choice["finish_reason"], "usage": tokens}


def streamed(reply: Reply) -> dict[str, Any]:
    """What a caller reads of a stream."""
    events = [event for event in reply.events if isinstance(event, dict)]
    choices = [event["choices"][0] for event in events if event.get("choices")]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
    usage = [event["usage"]["total_tokens"] for event in events if event.get("usage")]
    return {
        "status": reply.status,
        "type": reply.headers["content-type"],
        "text": reply.text,
        "calls": calls,
        "why": [choice["finish_reason"] for choice in choices if choice["finish_reason"]],
        "usage": usage,
        "errors": [event["error"] for event in events if "error" in event],
        "done": reply.events[-1],
        "models": {event["model"] for event in events if "model" in event},
    }


def told(record: CallRecord | PassThroughCall) -> dict[str, Any]:
    """What the ledger hears of a call."""
    return {
        "model": record.model_id,
        "engine": record.engine_id,
        "tokens": (record.usage.prompt_tokens, record.usage.completion_tokens),
        "outcome": record.outcome,
        "why": record.finish_reason,
        "error": record.error,
        "estimated": record.usage_estimated,
    }


def counted(door: Door) -> dict[str, float]:
    """Every series of a door but those that measure time."""
    lines = [line for line in door.metrics.exposition().decode().splitlines() if line.startswith("appliance_")]
    # Pieces that come together are one gap, so the number of gaps is a measure of time too.
    timed = re.compile(r"seconds_(bucket|sum)|inter_token|gpu_seconds|appliance_engines|waiting|longest|in_flight")
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if not timed.search(name)}


async def both(body: dict[str, Any], faults: list[Fault] | None = None) -> tuple[Reply, Reply, Door, Door]:
    """Ask one door, then the other; each meets the faults anew."""
    async with replicas(1, script=SCRIPT) as (fake,), house(fake) as doors:
        replies = []
        for door in (doors.fast, doors.plain):
            fake.faults[:] = [replace(fault) for fault in faults or ()]
            replies.append(await door.post(body))
            await door.settled()
        return replies[0], replies[1], doors.fast, doors.plain


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", REQUESTS)
def test_answers_usage_metrics_and_traces_are_the_same(name: str, stream: bool) -> None:
    body = REQUESTS[name] | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})
    fast, plain, door, other = asyncio.run(both(body))
    ok = plain.status == 200
    assert (streamed if stream and ok else comparable)(fast) == (streamed if stream and ok else comparable)(plain)
    assert {"x-request-id", "x-trace-id"} <= fast.headers.keys()
    if name != "parts":
        (call,) = door.calls.seen
        (trace,) = other.traces.saved
        assert told(call) == told(trace.calls[0])
        assert (call.trace_id, call.tenant, call.requested_model) == (fast.headers["x-trace-id"], "acme", MODEL)
    assert counted(door) == counted(other)
    gaps = [b"inter_token_latency_seconds_count" in each.metrics.exposition() for each in (door, other)]
    assert gaps[0] == gaps[1] or gaps == [False, True]  # all of it may have come in one piece


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_the_same_words(name: str) -> None:
    fast, plain, door, other = asyncio.run(both(REFUSED[name]))
    assert fast.status >= 400
    assert comparable(fast) == comparable(plain)
    assert door.calls.seen == []
    assert counted(door) == counted(other)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", FAULTS)
def test_an_engine_that_fails_is_told_alike(name: str, stream: bool) -> None:
    """The ordinary route streams from the engine whatever was asked for, and holds the first chunk back for a moment:
    so a connection breaks in other words there, and some errors still have a status."""
    fast, plain, door, other = asyncio.run(both(ask(stream=stream), [FAULTS[name]]))
    if name == "truncated" and not stream:
        assert fast.status == 200  # nothing is truncated where the engine sends a whole answer
        return
    for reply in (fast, plain):
        if reply.status == 200:
            assert [error["code"] for error in streamed(reply)["errors"]] in (["engine_unavailable"], ["engine_error"])
            assert reply.events[-1] == "[DONE]"
    assert fast.status == plain.status or (stream and fast.status == 200)
    if fast.status != 200:
        words = {"message": ""} if name in ("reset", "error") else {}
        assert {**comparable(fast)["error"], **words} == {**comparable(plain)["error"], **words}
        assert comparable(fast)["retry"] == comparable(plain)["retry"]
    (call,), (trace,) = door.calls.seen, other.traces.saved
    assert (call.outcome, trace.outcome) == (Outcome.ERROR, Outcome.ERROR)
    if stream:
        assert (call.usage_estimated, call.usage) == (trace.calls[0].usage_estimated, trace.calls[0].usage)
    if stream and fast.status == plain.status:
        assert counted(door) == counted(other)
