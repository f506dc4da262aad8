"""vLLM's sleep mode as the fake server imitates it: the development routes, and what they do to completions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(slots=True)
class SleepMode:
    """`calls` are the control calls as they came. `running` counts the completions in flight."""

    running: Callable[[], int] = lambda: 0
    enabled: bool = True
    refuses: set[str] = field(default_factory=set)
    """Paths that answer 500."""
    calls: list[str] = field(default_factory=list)
    asleep: set[str] = field(default_factory=set)
    paused: bool = False
    weights_gone: bool = False

    @property
    def takes_calls(self) -> bool:
        """Whether a completion is answered."""
        return not (self.paused or self.asleep)

    def routes(self) -> list[web.RouteDef]:
        """For the fake server's application; none when it was started without the development routes."""
        if not self.enabled:
            return []
        return [
            web.post("/pause", self._pause),
            web.post("/sleep", self._sleep),
            web.post("/wake_up", self._wake_up),
            web.post("/collective_rpc", self._collective_rpc),
            web.get("/is_sleeping", self._is_sleeping),
        ]

    async def _pause(self, request: web.Request) -> web.Response:
        self._note(request)
        self.paused = True
        while request.query["mode"] == "wait" and self.running():  # noqa: ASYNC110 - as vLLM's own busy loop does
            await asyncio.sleep(0.005)
        return web.json_response({"status": "paused"})

    async def _sleep(self, request: web.Request) -> web.Response:
        self._note(request)
        level = int(request.query["level"])
        self.paused, self.asleep, self.weights_gone = True, {"weights", "kv_cache"}, level == 2
        return web.json_response({"status": "sleeping", "level": level})

    async def _wake_up(self, request: web.Request) -> web.Response:
        self._note(request)
        self.asleep -= set(request.query.getall("tags", ["weights", "kv_cache"]))
        self.paused = self.paused and bool(self.asleep)
        return web.json_response({"status": "sleeping" if self.asleep else "awake"})

    async def _collective_rpc(self, request: web.Request) -> web.Response:
        self._note(request)
        if "weights" in self.asleep or (await request.json())["method"] != "reload_weights":
            return web.json_response({"error": "no memory for weights"}, status=500)
        self.weights_gone = False
        return web.json_response({"results": [None]})

    async def _is_sleeping(self, _: web.Request) -> web.Response:
        return web.json_response({"is_sleeping": not self.takes_calls})

    def _note(self, request: web.Request) -> None:
        self.calls.append(request.path_qs)
        if request.path in self.refuses:
            raise web.HTTPInternalServerError(text="refused")
