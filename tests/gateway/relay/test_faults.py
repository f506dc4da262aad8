"""Engines and callers that misbehave, on the fast path; the house checks that nothing of them is left behind."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from appliance.dispatch.breaker import BreakerState
from appliance.domain.engine import EngineState
from appliance.domain.trace import Outcome
from tests.fakes.answers import Answer, Fault, FaultKind
from tests.fakes.polling import until
from tests.gateway.door import KEY
from tests.gateway.relay.house import CHAT, MODEL, House, Script, ask, house, raw_engine, replicas, request_of

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
WHOLE = json.dumps({"choices": [CHOICE], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE)
ABORTED = OK.replace(b'"stop"', b'"abort"').replace(b"%d" % len(WHOLE), b"%d" % (len(WHOLE) + 1))
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UNFRAMED = STREAM.replace(b"Transfer-Encoding: chunked\r\n", b"")


def event(content: str, finish: str = "null") -> bytes:
    said = b'data: {"choices":[{"index":0,"delta":{"content":%s},"finish_reason":%s}]}\n\n'
    return said % (json.dumps(content).encode(), finish.encode())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


END = chunk(event("", '"stop"') + b"data: [DONE]\n\n") + b"0\r\n\r\n"


def says(*pieces: bytes, close: bool = False, every_s: float = 0.0) -> Script:
    """Answers each request with these bytes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if every_s:
                    await asyncio.sleep(every_s)
            if close:
                return

    return script


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    await reader.read()  # until the gateway closes the connection


async def slams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)


def check(script: Script, test: Callable[[House], Awaitable[None]], *more: Script, wall_s: float = 60.0) -> None:
    async def main() -> None:
        async with raw_engine(script, *more) as engine, house(engine, wall_s=wall_s) as doors:
            await test(doors)
            await doors.fast.settled()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        (says(OK), 200, "hi"),
        (says(*(OK[i : i + 1] for i in range(len(OK)))), 200, "hi"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), 200, "hi"),
        (says(b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE, close=True), 200, "hi"),
        (says(STREAM.replace(b"text/event-stream", b"application/json") + chunk(WHOLE) + b"0\r\n\r\n"), 200, "hi"),
        (slams, 503, "before its answer"),
        (says(OK[:-5], close=True), 503, "in the middle of its answer"),
        (says(OK[:30], close=True), 503, "in the middle of its answer"),
        (says(b"SMTP ready\r\n\r\n"), 503, "not HTTP"),
        (says(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000), 503, "head of its answer is longer"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 10_000 + b"\r\n"), 503, "head of its answer is longer"),
        (says(STREAM + b"ZZ\r\n" + WHOLE), 503, "not HTTP"),
        (says(OK.replace(b'"choices"', b'"chances"')), 502, "unknown shape"),
        (says(OK.replace(b"{", b"(", 1)), 502, "no JSON"),
        (says(ABORTED), 503, "broke off"),
        (says(b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"), 429, "status 429"),
        (says(b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nabc"), 502, "status 500"),
        (says(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nabc", close=True), 502, "status 500"),
        (says(b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n"), 502, "status 302"),
    ],
)  # fmt: skip
def test_whole_answers(script: Script, status: int, said: str) -> None:
    async def test(doors: House) -> None:
        reply = await doors.fast.post(ask())
        assert (reply.status, said in reply.body.decode()) == (status, True), reply.body
        (call,) = doors.fast.calls.seen
        assert (call.status, call.outcome is Outcome.OK) == (status, status == 200)

    check(script, test)


@pytest.mark.parametrize(
    ("script", "text", "error"),
    [
        (says(STREAM + chunk(event("a")) + chunk(event("b")) + END), "ab", ""),
        (says(STREAM, chunk(event("a")), chunk(event("b"))[:20], chunk(event("b"))[20:], END, every_s=0.01), "ab", ""),
        (says(UNFRAMED + event("a") + event("", '"stop"'), close=True), "a", ""),
        (says(STREAM + chunk(event("a")), close=True), "a", "in the middle of its answer"),
        (says(STREAM + chunk(event("a")) + b"0\r\n\r\n"), "a", "ended its answer in"),
        (says(STREAM + chunk(event("a")) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"), "a", "ended its answer in"),
        (says(STREAM + chunk(event("a")) + b"XX\r\n"), "a", "not HTTP"),
        (says(STREAM + chunk(event("a")), chunk(b'data: {"error": {"code": 500}}\n\n')), "a", "status 500"),
        (says(STREAM + chunk(event("a")) + chunk(event("", '"abort"')) + END), "a", "broke off"),
    ],
)  # fmt: skip
def test_streams(script: Script, text: str, error: str) -> None:
    async def test(doors: House) -> None:
        reply = await doors.fast.post(ask(stream=True))
        errors = [said["error"]["message"] for said in reply.events if isinstance(said, dict) and "error" in said]
        assert (reply.status, reply.text, reply.events[-1]) == (200, text, "[DONE]")
        assert [error in message for message in errors] == ([True] if error else [])
        (call,) = doors.fast.calls.seen
        assert (call.outcome, call.usage_estimated) == (Outcome.ERROR if error else Outcome.OK, not error)

    check(script, test)


def test_what_goes_down_is_what_was_asked_and_ours() -> None:
    heard: list[tuple[bytes, bytes]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await request_of(reader))
        writer.write(OK)

    async def test(doors: House) -> None:
        given = {"x-request-id": "mine-1", "x-evil": "1", "cookie": "c"}
        reply = await doors.fast.post(ask(cache_salt="stolen", seed=4), headers=given)
        ((head, body),) = heard
        down = json.loads(body)
        assert {**down, "cache_salt": ""} == ask(cache_salt="", seed=4)
        assert len(down["cache_salt"]) == 64
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert b"Authorization: Bearer key\r\n" in head
        assert KEY.encode() not in head + body
        assert b"evil" not in head
        assert f"X-Request-Id: {reply.headers['x-trace-id']}\r\n".encode() in head
        assert reply.headers["x-request-id"] == "mine-1"
        assert reply.body == WHOLE

    check(script, test)


def test_a_connection_is_used_again_and_one_that_was_closed_meanwhile_costs_nobody_an_answer() -> None:
    connections = 0

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await request_of(reader)
            writer.write(OK)
        await request_of(reader)  # the third one is read, and never answered

    async def test(doors: House) -> None:
        for _ in range(7):
            assert (await doors.fast.post(ask())).status == 200
        assert connections == 4
        assert doors.fast.dispatcher.broken_engines() == {}
        assert [call.attempts for call in doors.fast.calls.seen] == [1] * 7

    check(twice, test)


def test_a_stream_whose_end_comes_in_a_packet_of_its_own_leaves_its_connection_for_the_next() -> None:
    async def test(doors: House) -> None:
        for _ in range(3):
            assert (await doors.fast.post(ask(stream=True))).status == 200
            await until(lambda: doors.fast.relay.idle_connections == 1)
        assert doors.fast.relay.open_connections == 1

    check(says(STREAM + chunk(event("a")), END[:-5], END[-5:], every_s=0.01), test)


def test_an_engine_that_says_more_than_it_was_asked_loses_its_connection() -> None:
    async def test(doors: House) -> None:
        assert (await doors.fast.post(ask())).status == 200
        await until(lambda: doors.fast.relay.open_connections == 0)
        assert (await doors.fast.post(ask())).status == 200

    check(says(OK + OK), test)


def test_nothing_is_delayed_by_nagle() -> None:
    async def test(doors: House) -> None:
        assert (await doors.fast.post(ask())).status == 200
        (connection,) = doors.fast.relay._open
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    check(says(OK), test)


@pytest.mark.parametrize("stream", [False, True])
def test_a_hung_engine_is_left_at_the_deadline(stream: bool) -> None:
    async def test(doors: House) -> None:
        reply = await doors.fast.post(ask(stream=stream))
        assert (reply.status, reply.json()["error"]["code"]) == (422, "budget_exhausted")
        assert doors.fast.calls.seen[0].outcome is Outcome.ERROR
        assert doors.fast.dispatcher.broken_engines() == {}

    check(hangs, test, wall_s=0.3)


def test_a_caller_who_leaves_ends_the_work_of_the_engine_at_once() -> None:
    async def main() -> None:
        long = {"*": Answer(" ".join("a" * 500))}
        async with replicas(1, script=long, latency_s=0.05) as (fake,), house(fake) as doors:
            for stream, seen in ((True, 1), (False, 2)):
                reader, writer = await _sent(doors, json.dumps(ask(stream=stream)).encode())
                await until(lambda: fake.running)
                if stream:
                    await reader.readuntil(b"data: ")
                left_s = time.monotonic()
                writer.transport.abort()
                await until(lambda: not fake.running)
                assert time.monotonic() - left_s < 1.0  # 0.1 s on a machine that has time for it
                await doors.fast.settled()
                assert len(fake.aborted) == seen
                call = doors.fast.calls.seen[-1]
                assert (call.outcome, call.usage_estimated) == (Outcome.CANCELLED, True)
            assert [call.status for call in doors.fast.calls.seen] == [200, 499]

    asyncio.run(main())


async def _sent(doors: House, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = doors.fast.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


def test_a_slow_caller_stops_the_engine_and_gets_every_byte() -> None:
    sent = 0
    text = "x" * 50_000

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(STREAM)
        for _ in range(400):
            writer.write(chunk(event(text)))
            await writer.drain()
            sent += 1
        writer.write(END)

    async def test(doors: House) -> None:
        reader, writer = await _sent(doors, json.dumps(ask(stream=True)).encode())
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 400
        read = 0
        while piece := await reader.read(2**20):
            read += len(piece)
            if piece.endswith(b"0\r\n\r\n"):
                break
        assert (sent, read > 400 * len(text)) == (400, True)
        writer.close()

    check(script, test)


def test_a_silent_stream_says_that_it_goes_on() -> None:
    async def main() -> None:
        slow = says(STREAM, chunk(event("a")), chunk(event("b")), END, every_s=0.4)
        async with raw_engine(slow) as engine, house(engine, keep_alive_s=0.1) as doors:
            reply = await doors.fast.post(ask(stream=True))
            assert reply.body.count(b": keep-alive\n\n") >= 4
            assert (reply.text, reply.events[-1]) == ("ab", "[DONE]")
            assert doors.fast.calls.seen[0].first_byte_s is not None
            assert doors.fast.calls.seen[0].first_byte_s > 0.3
        async with raw_engine(hangs) as engine, house(engine, keep_alive_s=0.1, wall_s=0.5) as doors:
            reply = await doors.fast.post(ask(stream=True))
            assert reply.body.startswith(b": keep-alive\n\n")
            assert reply.events[0]["error"]["code"] == "budget_exhausted"

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault", [Fault(FaultKind.HTTP, status=503), Fault(FaultKind.HTTP, status=429), Fault(FaultKind.RESET)]
)
def test_another_engine_answers_what_failed_before_its_first_byte(fault: Fault, stream: bool) -> None:
    async def main() -> None:
        async with replicas(2) as fakes, house(*fakes) as doors:
            fault.times = None
            for number in range(4):
                for fake in fakes:
                    fake.faults[:] = []
                fakes[number % 2].faults[:] = [fault]
                reply = await doors.fast.post(ask(f"question {number}", stream=stream))
                if fault.kind is FaultKind.RESET and stream:
                    continue  # the fake says who speaks before it cuts the connection
                assert reply.status == 200
                assert doors.fast.calls.seen[-1].outcome is Outcome.OK
            attempts = [call.attempts for call in doors.fast.calls.seen]
            assert set(attempts) <= {1, 2}

    asyncio.run(main())


def test_an_engine_that_is_gone_is_left_alone_and_found_again() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            (fake,) = await stack.enter_async_context(replicas(1))
            doors = await stack.enter_async_context(house(fake))
            status = fake.status()
            port = fake.port
            await fake.stop()
            for _ in range(5):
                assert (await doors.fast.post(ask())).status == 503
            assert doors.fast.dispatcher.broken_engines() == {status.engine_id: BreakerState.OPEN}
            reply = await doors.fast.post(ask())  # by the ordinary route, which says why
            assert "its last 5 calls failed" in reply.json()["error"]["message"]
            fake.port = port
            await stack.enter_async_context(fake)
            await until(lambda: doors.fast.dispatcher.broken_engines().get(status.engine_id) is BreakerState.HALF_OPEN)
            assert (await doors.fast.post(ask())).status == 200
            assert doors.fast.dispatcher.broken_engines() == {}

    asyncio.run(main())


def test_where_no_engine_has_room_the_ordinary_route_waits_in_line() -> None:
    async def main() -> None:
        async with replicas(1, max_num_seqs=1, latency_s=0.05) as (fake,), house(fake) as doors:
            replies = await asyncio.gather(*(doors.fast.post(ask("one two three")) for _ in range(4)))
            assert [reply.status for reply in replies] == [200] * 4
            await doors.fast.settled()
            assert (len(doors.fast.calls.seen), len(doors.fast.traces.saved)) == (1, 3)
            assert fake.max_running == 1

    asyncio.run(main())


def test_a_model_that_sleeps_is_waited_for_by_the_ordinary_route() -> None:
    async def main() -> None:
        async with replicas(1) as (fake,), house(fake) as doors:
            doors.fleet.publish((fake.status(EngineState.ASLEEP),))
            asking = asyncio.create_task(doors.fast.post(ask()))
            await until(lambda: doors.fast.dispatcher.waiting.get(MODEL))
            doors.fleet.publish((fake.status(),))
            assert (await asking).status == 200
            assert doors.fast.calls.seen == []

    asyncio.run(main())


def test_streams_side_by_side_are_not_mixed_up() -> None:
    async def main() -> None:
        async with replicas(2, max_num_seqs=200, latency_s=0.002) as fakes, house(*fakes) as doors:
            questions = [" ".join([f"w{number}"] * 20) for number in range(60)]
            replies = await asyncio.gather(*(doors.fast.post(ask(text, stream=True)) for text in questions))
            assert [reply.text for reply in replies] == questions
            assert all(fake.requests for fake in fakes)
            await doors.fast.settled()
            assert len(doors.fast.calls.seen) == 60

    asyncio.run(main())


def test_a_conversation_stays_with_its_engine() -> None:
    async def main() -> None:
        async with replicas(3) as fakes, house(*fakes) as doors:
            for number in range(6):
                for turn in range(3):
                    talk = [{"role": "user", "content": f"talk {number}"}]
                    talk += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "on"}] * turn
                    assert (await doors.fast.post({"model": MODEL, "messages": talk})).status == 200
            engines = [call.engine_id for call in doors.fast.calls.seen]
            assert [len(set(engines[start : start + 3])) for start in range(0, 18, 3)] == [1] * 6
            assert len(set(engines)) > 1

    asyncio.run(main())
