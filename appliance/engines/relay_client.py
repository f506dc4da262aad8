"""Connections to engines for requests whose bytes are relayed: kept open, taken again, given up when they are old."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from urllib.parse import urlsplit

from appliance.domain.engine import EngineStatus
from appliance.engines.client import CONNECT_TIMEOUT_S, KEEPALIVE_S, LAST_BYTES_S
from appliance.engines.refusals import unreachable
from appliance.engines.relay_connection import AnswerBroken, RelayConnection
from appliance.errors import EngineUnavailable

MOST_IDLE = 256
"""Connections to one engine that wait for a request; one more is closed."""


class RelayClient:
    """Sends requests to engines over connections of its own. `close` at the end; one event loop."""

    def __init__(self) -> None:
        self._idle: dict[str, list[RelayConnection]] = {}
        self._open: set[RelayConnection] = set()

    @property
    def open_connections(self) -> int:
        """Idle ones and those in use."""
        return len(self._open)

    @property
    def idle_connections(self) -> int:
        """Those that wait for a request."""
        return sum(map(len, self._idle.values()))

    async def connected(self, engine: EngineStatus) -> RelayConnection:
        """A connection that carries nothing: the one used last, else a new one. Raises EngineUnavailable."""
        return self.waiting(engine) or await self.connected_anew(engine)

    def waiting(self, engine: EngineStatus) -> RelayConnection | None:
        """The connection used last of those that carry nothing, where there is one."""
        idle = self._idle.get(engine.base_url)
        while idle:
            connection = idle.pop()
            if connection.idle_s > KEEPALIVE_S:
                for older in (connection, *idle):
                    older.abort()
                idle.clear()
            elif not connection.closed:
                return connection
        return None

    async def connected_anew(self, engine: EngineStatus) -> RelayConnection:
        """A new connection. Raises EngineUnavailable."""
        loop = asyncio.get_running_loop()
        host, port = _address(engine.base_url)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(lambda: RelayConnection(loop, self._lost), host, port)
        except OSError as error:  # TimeoutError is one
            raise unreachable(engine, error) from error
        self._open.add(connection)
        return connection

    def give_back(self, engine: EngineStatus, connection: RelayConnection) -> None:
        """The answer was read: keep the connection for another one, or close it.

        The end of the body follows the last event at once, but often not in the same packet.
        """
        if connection.reusable or not connection.draining:
            self._keep(engine.base_url, connection)
            return
        timer = asyncio.get_running_loop().call_later(LAST_BYTES_S, connection.abort)

        def ended() -> None:
            if not connection.draining:
                timer.cancel()
                self._keep(engine.base_url, connection)

        connection.drain(ended)

    def _keep(self, base_url: str, connection: RelayConnection) -> None:
        idle = self._idle.setdefault(base_url, [])
        if not connection.reusable or len(idle) >= MOST_IDLE:
            connection.abort()
            return
        connection.freed()
        idle.append(connection)

    async def close(self) -> None:
        """Close all connections."""
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    def _lost(self, connection: RelayConnection) -> None:
        self._open.discard(connection)
        for url, idle in tuple(self._idle.items()):
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[url]


def carries(engine: EngineStatus) -> bool:
    """Whether requests can be relayed to it: plain HTTP, inside the house."""
    return engine.base_url.startswith("http://")


def request_bytes(engine: EngineStatus, path: str, name: str, body: bytes) -> bytes:
    """A POST of JSON. The engine calls its answer `chatcmpl-<name>` or `cmpl-<name>`."""
    head = _head(engine.base_url, engine.api_key, path)
    return b"%sX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s" % (head, name.encode(), len(body), body)


def broken_off(engine: EngineStatus, broken: AnswerBroken) -> EngineUnavailable:
    """A connection that failed, in the words of the tree."""
    return unreachable(engine, broken)


@lru_cache(maxsize=1024)
def _head(base_url: str, api_key: str, path: str) -> bytes:
    parts = urlsplit(base_url)
    lines = (
        f"POST {parts.path}{path} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: Bearer {api_key}",
        "Content-Type: application/json",
        "",
    )
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=1024)
def _address(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or 80
