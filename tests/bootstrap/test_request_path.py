"""In which order a request path starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from appliance.bootstrap import request_path
from appliance.bootstrap.request_path import RequestParts, RequestPath


class Server:
    """Notes when it begins to answer."""

    def __init__(self, told: list[str]) -> None:
        self._told = told
        self.answers = asyncio.Event()

    async def serve(self) -> None:
        self._told.append("answers")
        self.answers.set()


def path_with(server: Server, *save_left: Callable[[], Awaitable[int]]) -> RequestPath:
    nobody = cast(Any, None)
    parts = RequestParts(cast(Any, server), nobody, nobody, nobody, None, nobody, nobody, None, (), save_left)
    return RequestPath(parts)


def test_what_was_left_is_saved_before_anything_new_is_answered() -> None:
    told: list[str] = []

    async def save(what: str) -> int:
        await asyncio.sleep(0)
        told.append(what)
        return 1

    async def main() -> None:
        server = Server(told)
        await path_with(server, lambda: save("journal"), lambda: save("audit chain")).start()
        await server.answers.wait()

    asyncio.run(main())

    assert told == ["journal", "audit chain", "answers"]


def test_a_database_that_hangs_does_not_keep_it_from_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_path, "SAVES_FIRST_S", 0.01)
    told: list[str] = []

    async def main() -> None:
        goes_on, server = asyncio.Event(), Server(told)

        async def save() -> int:
            await goes_on.wait()
            told.append("saved")
            return 1

        starting = asyncio.create_task(path_with(server, save).start())
        await server.answers.wait()
        goes_on.set()
        await starting

    asyncio.run(main())

    assert told == ["answers", "saved"]


def test_a_start_that_is_cancelled_leaves_nothing_running() -> None:
    async def main() -> None:
        starting = asyncio.create_task(path_with(Server([]), asyncio.Event().wait).start())  # which never ends
        await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.wait({starting})
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
