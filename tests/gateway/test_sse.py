"""A stream begins within 300 ms and is never silent for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from appliance.gateway.sse import KEEP_ALIVE, EventStream
from tests.fakes.virtual_time import run

OPENING = b"data: role\n\n"


class Wire:
    """What was sent, and when (seconds after the start)."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, Message]] = []
        self._loop = asyncio.get_running_loop()
        self._started_s = self._loop.time()

    async def send(self, message: Message) -> None:
        self.sent.append((round(self._loop.time() - self._started_s, 3), message))

    def bodies(self) -> list[tuple[float, bytes]]:
        return [(at_s, message["body"]) for at_s, message in self.sent if message["type"] == "http.response.body"]


def test_a_slow_answer_begins_with_its_opening_within_300_ms() -> None:
    async def main() -> None:
        wire = Wire()
        async with EventStream(wire.send, OPENING, keep_alive_s=10) as stream:
            await asyncio.sleep(3)
            await stream.say(b"data: a\n\n")
        assert [at_s for at_s, _ in wire.sent] == [0.2, 0.2, 3.0]
        assert wire.sent[0][1]["status"] == 200
        assert wire.bodies() == [(0.2, OPENING), (3.0, b"data: a\n\n")]

    run(main())


def test_a_quick_answer_begins_with_its_first_words() -> None:
    async def main() -> None:
        wire = Wire()
        async with EventStream(wire.send, OPENING, keep_alive_s=10) as stream:
            await stream.say(b"data: a\n\n")
            await asyncio.sleep(1)
            await stream.say(b"data: b\n\n", last=True)
        assert wire.bodies() == [(0.0, OPENING + b"data: a\n\n"), (1.0, b"data: b\n\n")]
        assert [message["more_body"] for _, message in wire.sent[1:]] == [True, False]

    run(main())


def test_a_comment_fills_each_silence_of_the_given_length() -> None:
    async def main() -> None:
        wire = Wire()
        async with EventStream(wire.send, OPENING, keep_alive_s=2) as stream:
            await stream.say(b"data: a\n\n")
            await asyncio.sleep(5)
            await stream.say(b"data: b\n\n")
            await asyncio.sleep(1.5)
            await stream.say(b"data: c\n\n")
        assert [at_s for at_s, body in wire.bodies() if body == KEEP_ALIVE] == [2.0, 4.0]

    run(main())


def test_an_error_in_the_first_moments_leaves_the_response_to_others() -> None:
    async def main() -> None:
        wire = Wire()
        stream = EventStream(wire.send, OPENING, keep_alive_s=2)
        with pytest.raises(ValueError, match="no"):
            await failing(stream)
        assert not stream.begun
        await asyncio.sleep(10)
        assert wire.sent == []

    async def failing(stream: EventStream) -> None:
        async with stream:
            await asyncio.sleep(0.1)
            raise ValueError("no")

    run(main())


def test_words_wait_for_a_comment_that_is_on_its_way() -> None:
    async def main() -> None:
        sent: list[Any] = []

        async def slow(message: Message) -> None:
            await asyncio.sleep(1)
            sent.append(message.get("body"))

        async with EventStream(slow, OPENING, keep_alive_s=30) as stream:
            await asyncio.sleep(0.5)
            await stream.say(b"data: a\n\n")
        assert sent == [None, OPENING, b"data: a\n\n"]

    run(main())
