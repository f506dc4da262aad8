"""The load generator: raw asyncio protocols, and latencies that count from when a request was due.

Closed load (`closed`) keeps so many connections busy and says what comes through at the most. Open load (`opened`)
sends at times fixed beforehand, whatever comes back: a request that has to wait for a connection is late from its own
time on, so a gateway that stops for a while is charged for every request that was due meanwhile (no coordinated
omission). `lag` is how much later than due the generator itself sent where a connection was free: its own bias.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import orjson

from appliance.bench.mock_engine import MODEL

_PATH = "/v1/chat/completions"
_QUESTION = "What is an engine, what is a replica, and which of them does a call go to? " * 9
_NUMBER = re.compile(rb'"content": ?"(\d+) "')
_WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    name: str
    url: str
    key: str

    def request(self, **fields: object) -> bytes:
        """One request as bytes: a body of about 0.8 KB."""
        messages = [{"role": "user", "content": _QUESTION}]
        body = orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": 128, **fields})
        parts = urlsplit(self.url)
        head = (
            f"POST {_PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Wrong(Exception):
    """An answer that is not what was asked for."""


class Connection(asyncio.Protocol):
    """One request at a time. `on_done` hears when its answer is whole, `on_piece` of each piece of its body."""

    def __init__(self) -> None:
        self.on_done: Callable[[Connection], None] = lambda _connection: None
        self.on_piece: Callable[[bytes], None] = lambda _piece: None
        self.due_s = 0.0
        self.status = 0
        self.bytes = 0
        self.lost = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def send(self, request: bytes) -> None:
        """Ask."""
        assert self._transport is not None
        self.bytes = 0
        self._transport.write(request)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio."""
        self.lost = True
        self.on_done(self)

    def data_received(self, data: bytes) -> None:
        """asyncio."""
        self._parser.feed_data(data)

    def on_headers_complete(self) -> None:
        """httptools."""
        self.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        """httptools."""
        self.bytes += len(piece)
        self.on_piece(piece)

    def on_message_complete(self) -> None:
        """httptools."""
        self.on_done(self)


async def connections(target: Target, number: int) -> list[Connection]:
    """So many open ones."""
    loop, parts = asyncio.get_running_loop(), urlsplit(target.url)
    made = []
    for _ in range(number):
        _, connection = await loop.create_connection(Connection, parts.hostname or "", parts.port or 80)
        made.append(connection)
    return made


@dataclass(slots=True)
class Latencies:
    """Of the answers of one run, in seconds; `lags` of the generator itself."""

    seconds: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall_s

    def at(self, percent: float) -> float:
        """A percentile."""
        return percentile(self.seconds, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def closed(target: Target, clients: int, seconds: float) -> Latencies:
    """Each connection sends its next request as soon as an answer is there."""
    pool, found, request = await connections(target, clients), Latencies(), target.request()
    done = asyncio.get_running_loop().create_future()
    counted_from = time.perf_counter() + _WARM_UP_S
    ends_s, busy = counted_from + seconds, clients

    def next_one(connection: Connection) -> None:
        nonlocal busy
        now_s = time.perf_counter()
        if connection.status != 200 or connection.lost:
            if not done.done():
                done.set_exception(Wrong(f"{target.name} answered with {connection.status}"))
            return
        if counted_from <= now_s <= ends_s:
            found.seconds.append(now_s - connection.due_s)
        if now_s < ends_s:
            connection.due_s = now_s
            connection.send(request)
        else:
            busy -= 1
            if not busy:
                done.set_result(None)

    for connection in pool:
        connection.on_done = next_one
        connection.due_s = time.perf_counter()
        connection.send(request)
    await _ended(done, pool, seconds)
    found.wall_s = seconds
    return found


async def opened(target: Target, rate: float, clients: int, seconds: float) -> Latencies:
    """Requests at a fixed rate over at most so many connections."""
    pool, found, request = deque(await connections(target, clients)), Latencies(), target.request()
    every = list(pool)
    loop = asyncio.get_running_loop()
    done, waiting = loop.create_future(), deque[float]()
    began_s, total = time.perf_counter() + 0.05, max(1, int(rate * seconds))
    warm = int(rate * min(_WARM_UP_S, seconds / 10))
    sent = answered = 0

    def send(connection: Connection, due_s: float) -> None:
        connection.due_s = due_s
        connection.send(request)

    def ended(connection: Connection) -> None:
        nonlocal answered
        if connection.status != 200 or connection.lost:
            if not done.done():
                done.set_exception(Wrong(f"{target.name} answered with {connection.status}"))
            return
        answered += 1
        if answered > warm:
            found.seconds.append(time.perf_counter() - connection.due_s)
        if waiting:
            send(connection, waiting.popleft())
        else:
            pool.append(connection)
            if answered == total:
                done.set_result(None)

    def tick() -> None:
        nonlocal sent
        now_s = time.perf_counter()
        while sent < total and began_s + sent / rate <= now_s:
            due_s = began_s + sent / rate
            sent += 1
            if pool and not waiting:
                found.lags.append(now_s - due_s)
                send(pool.popleft(), due_s)
            else:
                waiting.append(due_s)
        if sent < total:
            loop.call_later(max(0.0, began_s + sent / rate - time.perf_counter()), tick)

    for connection in every:
        connection.on_done = ended
    tick()
    await _ended(done, every, seconds)
    found.wall_s = time.perf_counter() - began_s
    return found


@dataclass(slots=True)
class Streams:
    """What came of streams: first chunks and whole times in seconds, and chunks that were not where they belong."""

    first_s: list[float] = field(default_factory=list)
    chunks: int = 0
    wrong: int = 0
    wall_s: float = 0.0
    longest_gap_s: float = 0.0


async def streamed(target: Target, number: int, tokens: int, rate: int, spread_s: float) -> Streams:
    """`number` streams of `tokens` chunks at `rate` a second each, begun one after the other within `spread_s`."""
    pool, found = await connections(target, number), Streams()
    loop, request = asyncio.get_running_loop(), target.request(stream=True, max_tokens=tokens, seed=rate)
    done, left = loop.create_future(), number
    began_s = time.perf_counter() + 0.05

    def begin(connection: Connection, due_s: float) -> None:
        expected, rest, last_s = 0, b"", 0.0

        def piece(data: bytes) -> None:
            nonlocal expected, rest, last_s
            whole = rest + data
            cut = whole.rfind(b"\n\n") + 2
            rest = whole[cut:] if cut > 1 else whole
            numbers = _NUMBER.findall(whole[:cut]) if cut > 1 else []
            if not numbers:
                return
            now_s = time.perf_counter()
            if expected == 0:
                found.first_s.append(now_s - due_s)
            else:
                found.longest_gap_s = max(found.longest_gap_s, now_s - last_s)
            last_s = now_s
            for said in numbers:
                found.wrong += int(said) != expected
                expected = int(said) + 1
            found.chunks += len(numbers)

        def ended(ended_one: Connection) -> None:
            nonlocal left
            if ended_one.lost or ended_one.status != 200:
                if not done.done():
                    done.set_exception(Wrong(f"{target.name} broke a stream, status {ended_one.status}"))
                return
            found.wrong += expected != tokens
            left -= 1
            if not left:
                done.set_result(None)

        connection.on_piece, connection.on_done = piece, ended
        connection.send(request)

    for index, connection in enumerate(pool):
        due_s = began_s + spread_s * index / number
        loop.call_later(max(0.0, due_s - time.perf_counter()), begin, connection, due_s)
    await _ended(done, pool, spread_s + tokens / rate)
    found.wall_s = time.perf_counter() - began_s
    return found


async def _ended(done: asyncio.Future[None], pool: Sequence[Connection], seconds: float) -> None:
    try:
        await asyncio.wait_for(done, 10 * seconds + 60)
    finally:
        for connection in pool:
            connection.on_done = lambda _connection: None
            connection.close()
