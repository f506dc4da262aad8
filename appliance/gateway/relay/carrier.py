"""Carries one request to its engine and the answer's bytes back, once more elsewhere where that is safe.

`carry` (whatever way it ends, everything is given back and accounted for) → `_streamed` → `_head` (retries, before the
first byte) → `_flowed`; or `_whole` → `_read`, which waits once, not for the head and then for the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import orjson
from starlette.types import Receive, Send

from appliance.access.limits import Limits
from appliance.dispatch.breaker import Sign
from appliance.dispatch.dispatcher import Dispatcher
from appliance.dispatch.places import Place, sign_of
from appliance.domain.audit import Audit
from appliance.domain.engine import EngineStatus
from appliance.domain.journal import JournalPage
from appliance.domain.request import Usage
from appliance.domain.trace import Outcome
from appliance.domain.usage import PassThroughCall
from appliance.engines.refusals import message_of, raise_rejected, too_late
from appliance.engines.relay_client import RelayClient, broken_off, request_bytes
from appliance.engines.relay_connection import AnswerBroken, RelayConnection
from appliance.errors import ApplianceError, AuditFailed, EngineRejected, EngineUnavailable
from appliance.gateway.error_responses import translate
from appliance.gateway.exchange import make_ids
from appliance.gateway.middleware.door import reported
from appliance.gateway.relay.at_once import JSON, AtOnce, head_of
from appliance.gateway.relay.course import GONE, Course, Load, broken_stream, ours, spent
from appliance.gateway.relay.passage import Passage, Rounds
from appliance.gateway.relay.record import Record
from appliance.gateway.relay.tail import DONE, StreamTail, Unreadable, whole_answer
from appliance.gateway.sse import KEEP_ALIVE
from appliance.ledger.audit_log import NO_AUDIT

_LEFT: Final = "the caller went away"
_STOPPED: Final = "the gateway stopped"


class Accounts(Protocol):
    """Who hears of requests: the ledger, the metrics, the access log. Nothing of it waits or fails."""

    def begun(self, cut_off: Callable[[], PassThroughCall]) -> JournalPage:
        """A request was taken; `cut_off` makes what is known of it where this process ends in the middle of it.

        It may be called in another thread.
        """

    def ended(self, call: PassThroughCall, error: str, gaps_s: Sequence[float], page: JournalPage) -> None:
        """It is over; `error` is the word for the access log where it did not end well, `gaps_s` lay between pieces.

        `page` is what `begun` gave.
        """


class Carrier:
    """Carries loads. One instance belongs to one event loop; `clock` is monotonic seconds."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        client: RelayClient,
        limits: Limits,
        accounts: Accounts,
        rounds: Rounds,
        audit: Audit = NO_AUDIT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._dispatcher = dispatcher
        self._client = client
        self._limits = limits
        self._accounts = accounts
        self._rounds = rounds
        self._audit = audit
        self._clock = clock
        self._wall_clock = wall_clock

    async def carry(self, load: Load, receive: Receive, send: Send, at_once: AtOnce | None = None) -> None:
        """To its engine and back; the answer, or what went wrong, has been sent when this returns.

        `at_once` is the server's offer to write a whole answer in one go.
        """
        task, place = asyncio.current_task(), load.place
        assert task is not None
        assert place is not None
        streamed = load.wish.streamed
        passage = Passage(task, receive, load.started_s, load.deadline_s, streamed, load.started_s)
        request_id, trace_id = make_ids("req")
        request_id = load.request_id or request_id
        limits = self._limits.headers_of(load.admitted.account, load.started_s)
        record = None
        if self._audit is not NO_AUDIT:
            record = Record(self._audit, load.tenant, request_id, trace_id, load.path, load.wish.model, load.body)
        course = Course(load, passage, send, at_once, limits, request_id, trace_id, place, record)
        course.page = self._accounts.begun(partial(self._cut_off, course))
        self._rounds.join(passage)
        try:
            body = orjson.dumps(load.wish.down)
            await (self._streamed(course, body) if streamed else self._whole(course, body))
            course.outcome = Outcome.OK
        except asyncio.CancelledError:
            if not (passage.gone or passage.late):
                course.outcome, course.word = Outcome.CANCELLED, _STOPPED
                raise
            task.uncancel()
            await self._cut_short(course)
        except Exception as error:  # the door of this path: whatever it is, it leaves as one typed answer
            await self._failed(course, error)
        finally:
            self._over(course)

    async def _whole(self, course: Course, down: bytes) -> None:
        """The answer is read to its end before any of it goes on: only then it is known that it was not broken off."""
        while True:
            place = course.last_place
            try:
                connection, body = await self._read(course, place.engine, down)
                said = whole_answer(body)
                course.usage, course.finish_reason = said.usage, said.finish_reason
                if said.aborted:
                    raise EngineUnavailable(f"engine {place.engine.engine_id} broke off its answer; it is stopping")
            except (AnswerBroken, Unreadable, EngineUnavailable, EngineRejected) as error:
                self._elsewhere(course, ours(place, error))
                continue
            break
        kind = connection.content_type or JSON
        self._leave(course, Sign.WORKS, connection)
        if course.record is not None:
            await course.record.written()
            course.record.sent(body)
        course.first_byte_s = self._clock()
        course.status = 200
        if course.at_once is not None:
            head = head_of(kind, len(body), course.request_id, course.trace_id, course.limits)
            if head is not None and course.at_once(head, body):
                return
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *course.headers]
        await course.send({"type": "http.response.start", "status": 200, "headers": headers})
        await course.send({"type": "http.response.body", "body": body})

    async def _read(self, course: Course, engine: EngineStatus, down: bytes) -> tuple[RelayConnection, bytes]:
        """A whole answer with status 200, and the connection over which it came. Nobody nudges: nothing is said before.

        Raises what has to be tried elsewhere, or told.
        """
        request = request_bytes(engine, course.load.path, course.trace_id, down)
        course.sent_s = self._clock()
        connection = self._client.waiting(engine) or await self._client.connected_anew(engine)
        course.passage.connection = connection
        connection.ask(request)
        try:
            body = await connection.body()
        except AnswerBroken as broken:
            if connection.status not in (0, 200):
                body = b""  # the status says enough
            elif broken.begun or not connection.asked_before:
                raise
            else:  # as in `_asked`
                connection = course.passage.connection = await self._client.connected_anew(engine)
                connection.ask(request)
                body = await connection.body()
        if connection.status != 200:
            raise_rejected(engine, connection.status, message_of(body), "")
        return connection, body

    async def _streamed(self, course: Course, down: bytes) -> None:
        while True:
            connection = await self._head(course, down)
            try:
                rest = await self._flowed(course, connection)
            except AuditFailed:
                raise  # no engine can mend that
            except ApplianceError as error:
                self._elsewhere(course, error)
                continue
            break
        self._leave(course, Sign.WORKS, connection)
        await self._say(course, rest + DONE, last=True)

    async def _flowed(self, course: Course, connection: RelayConnection) -> bytes:
        """All pieces as they come, but for the last words, which are returned."""
        wish, place = course.load.wish, course.last_place
        tail = StreamTail(wish.keeps_usage, wish.choices)
        try:
            while not tail.done and tail.failed is None:
                piece = await connection.piece()
                if piece is None:
                    break
                if piece:
                    onward = tail.take(piece)
                    if onward:
                        await self._say(course, onward)
                        course.heard(tail.events, course.passage.said_s)
                else:
                    await self._nudged(course)
            rest = tail.rest()
        except (AnswerBroken, Unreadable) as error:
            raise ours(place, error) from None
        finally:
            course.usage, course.finish_reason, course.events = tail.usage, tail.finish_reason, tail.events
        if not tail.sound:
            raise broken_stream(place, tail)
        return rest

    async def _head(self, course: Course, down: bytes) -> RelayConnection:
        """The connection over which the head of an answer with status 200 has come; tried elsewhere where it fails."""
        while True:
            place = course.last_place
            try:
                return await self._asked(course, place, down)
            except (EngineUnavailable, EngineRejected) as error:
                self._elsewhere(course, error)

    def _elsewhere(self, course: Course, error: ApplianceError) -> None:
        """Another place for what failed before its first byte; the error where there is none, or it is not safe."""
        load, place = course.load, course.last_place
        self._leave(course, sign_of(error))
        if course.passage.begun or course.attempts > 1:
            raise error
        failed = {place.engine.engine_id}
        again = self._dispatcher.place_again(error, load.under, load.prefix, place, failed)
        if again is None:
            raise error
        course.last_place = load.place = again
        course.attempts += 1

    async def _asked(self, course: Course, place: Place, down: bytes) -> RelayConnection:
        engine, load, passage = place.engine, course.load, course.passage
        passage.head_came = False
        request = request_bytes(engine, load.path, course.trace_id, down)
        course.sent_s = self._clock()
        connection = await self._client.connected(engine)
        passage.connection = connection
        connection.ask(request)
        try:
            await self._until_head(course, connection)
        except AnswerBroken as broken:
            if broken.begun or not connection.asked_before:
                raise broken_off(engine, broken) from None
            # The engine closed a connection that was waiting for its next request: nothing was done for this one.
            connection = await self._client.connected_anew(engine)
            passage.connection = connection
            connection.ask(request)
            try:
                await self._until_head(course, connection)
            except AnswerBroken as again:
                raise broken_off(engine, again) from None
        if connection.status != 200:
            raise_rejected(engine, connection.status, message_of(await _error_body(connection)), "")
        passage.head_came = True
        return connection

    async def _until_head(self, course: Course, connection: RelayConnection) -> None:
        while not await connection.head():
            await self._nudged(course)

    async def _nudged(self, course: Course) -> None:
        """Something is to be said, unless it was meanwhile."""
        if course.passage.silent(self._clock(), self._rounds.keep_alive_s):
            await self._say(course, KEEP_ALIVE)

    async def _say(self, course: Course, piece: bytes, *, last: bool = False) -> None:
        passage = course.passage
        passage.said_s = now_s = self._clock()
        if not passage.begun:
            if course.record is not None:
                await course.record.written()
            passage.begun, course.status = True, 200
            connection = passage.connection
            kind = connection.content_type if connection is not None and passage.head_came else b""
            headers = [
                (b"content-type", kind or b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-store"),
                *course.headers,
            ]
            await course.send({"type": "http.response.start", "status": 200, "headers": headers})
        if course.first_byte_s is None and piece is not KEEP_ALIVE:
            course.first_byte_s = now_s
        if course.record is not None:
            course.record.sent(piece)
        await course.send({"type": "http.response.body", "body": piece, "more_body": not last})

    async def _cut_short(self, course: Course) -> None:
        """The caller left, or its time was up: the engine ends its work as soon as the connection is closed."""
        self._leave(course, Sign.NOTHING)
        if course.passage.gone:
            course.outcome, course.word = Outcome.CANCELLED, _LEFT
            course.status = course.status or GONE
        else:
            await self._failed(course, too_late(course.last_place.engine))

    async def _failed(self, course: Course, error: Exception) -> None:
        """Tell the caller; once the answer has begun, as an event."""
        self._leave(course, sign_of(error))
        try:
            if course.record is not None:
                await course.record.written()
        except AuditFailed as unrecorded:
            error = unrecorded
        course.error = str(error) if isinstance(error, ApplianceError) else type(error).__name__
        course.word = reported(error)
        answer = translate(error)
        content = orjson.dumps(answer.body())
        if course.passage.begun:
            await course.send({"type": "http.response.body", "body": b"data: " + content + b"\n\n" + DONE})
            return
        course.status = answer.status
        headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", b"application/json"),
            *((name.encode(), value.encode()) for name, value in answer.headers.items()),
            *course.headers,
        ]
        await course.send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await course.send({"type": "http.response.body", "body": content})

    def _leave(self, course: Course, sign: Sign, connection: RelayConnection | None = None) -> None:
        """Give the place back, once, and the connection, which is closed unless its answer was read to the end."""
        place, passage = course.load.place, course.passage
        if passage.connection is not None:
            held, passage.connection = passage.connection, None
            if connection is None:
                held.abort()
            else:
                self._client.give_back(course.last_place.engine, held)
        if place is not None:
            course.load.place = None
            place.leave(sign)

    def _over(self, course: Course) -> None:
        """Whatever way it went."""
        load, now_s = course.load, self._clock()
        self._rounds.leave(course.passage)
        if load.place is not None or course.passage.connection is not None:
            self._leave(course, Sign.NOTHING)
        usage, estimated = spent(course)
        gpu_s = course.last_place.receipt.gpu_s(now_s)
        self._limits.settle(load.admitted, usage.prompt_tokens + usage.completion_tokens, gpu_s, now_s)
        call = course.call(usage, gpu_s, now_s, self._wall_clock(), estimated=estimated)
        if course.record is not None:
            course.record.ended(call)
        self._accounts.ended(call, course.word, course.gaps_s, course.page)

    def _cut_off(self, course: Course) -> PassThroughCall:
        """In any thread: it only reads, and what changes under it is replaced by how the request ended."""
        usage = Usage(course.load.wish.prompt_tokens_estimate, 0)
        return course.call(usage, 0.0, self._clock(), self._wall_clock(), estimated=True)


async def _error_body(connection: RelayConnection) -> bytes:
    """As far as it comes; the status says enough."""
    try:
        return await connection.body()
    except AnswerBroken:
        return b""
