from __future__ import annotations

import asyncio

import pytest

from appliance.coordinator.event_line import EventLine
from tests.fakes.virtual_time import run


def test_events_come_in_order_whether_they_were_waited_for_or_not() -> None:
    async def main() -> None:
        line, seen = EventLine[int](), list[int]()

        async def reader() -> None:
            async for event in line.read():
                seen.append(event)

        line.put(1)
        reading = asyncio.create_task(reader())
        await asyncio.sleep(0)
        assert seen == [1]
        line.put(2)
        line.put(3)
        for _ in range(3):
            await asyncio.sleep(0)
        assert seen == [1, 2, 3]
        line.put(4)
        line.end()
        await reading
        assert seen == [1, 2, 3, 4]

    run(main())


def test_a_reader_may_leave_while_it_waits_and_nothing_is_lost() -> None:
    async def main() -> None:
        line = EventLine[int]()
        first = asyncio.create_task(anext(line.read()))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        line.put(1)
        line.end()
        assert [event async for event in line.read()] == [1]

    run(main())
