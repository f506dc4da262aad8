"""Who answers requests: a request path in this process, or workers that have one each."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.bootstrap.access import key_file
from appliance.bootstrap.appliance import Front
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.ledger import ledger_place
from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.request_path import RequestPath
from appliance.bootstrap.request_wiring import build_request_path
from appliance.bootstrap.salt import salt_secret
from appliance.bootstrap.server import HttpServer, listen, share, url_of
from appliance.bootstrap.worker_board import WorkerBoard
from appliance.bootstrap.worker_message import WorkerMessage
from appliance.bootstrap.worker_pool import PoolParts, WorkerPool
from appliance.domain.fleet import Fleet
from appliance.gateway.auth import read_or_make_keys
from appliance.ledger.database import Database
from appliance.packs.door import Door
from appliance.packs.keys import OneKey
from appliance.packs.load import Load

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class BuiltFront:
    """A front that has started nothing yet, what requests ask of the pool, and what it has in flight."""

    front: Front
    tally: DemandTally
    load: Callable[[], Load]


def build_front(lineup: Lineup, fleet: Fleet, held: ExitStack, *, log_to_stderr: bool = False) -> BuiltFront:
    """As many processes as `server.workers` says, over the engines that somebody else writes into `fleet`.

    `held` gives back what it takes. Raises AlreadyRunning and ConfigError.
    """
    settings = lineup.settings
    listener = held.enter_context(listen(settings.server.host, settings.server.port))
    if settings.server.workers > 1:
        host, port = listener.getsockname()[:2]
        listener.close()  # nobody else listens there, as a shared socket would not have told
        return _pool(lineup, fleet, held, share(host, port), log_to_stderr)
    front = build_request_path(lineup, fleet, listener, held, salt_secret=salt_secret(settings))
    return BuiltFront(front, front.parts.tally, load_of(front))


def load_of(front: RequestPath) -> Callable[[], Load]:
    """What a request path has in flight."""
    dispatcher = front.parts.dispatcher
    return lambda: Load(dispatcher.in_flight, dispatcher.waiting)


def _pool(lineup: Lineup, fleet: Fleet, held: ExitStack, port: socket.socket, log_to_stderr: bool) -> BuiltFront:
    """`port` is held so that it stays ours while no worker is up."""
    settings = lineup.settings
    server = settings.server
    held.enter_context(port)
    _prepare(lineup)
    tally, key = DemandTally(settings.coordinator.virtual_model), secrets.token_urlsafe(32)
    board = WorkerBoard(tally)

    async def beat(request: Request) -> Response:
        return await board.answer(request) if door.allows(request) else Response(status_code=401)

    route = Route("/workers/{number:int}", beat, methods=["POST"])
    door = Door("workers", fleet, OneKey(key), exposition=lambda: b"", more=[route])
    salt = salt_secret(settings).hex()

    def message(number: int, url: str) -> bytes:
        return WorkerMessage(
            number=number,
            workers=server.workers,
            port=port.getsockname()[1],
            door=url,
            key=key,
            salt_hex=salt,
            log_to_stderr=log_to_stderr,
            device=lineup.device,
            cards=lineup.cards,
            source=settings.source,
            settings=settings,
        ).line()

    parts = PoolParts(
        url=url_of(port, "http" if server.tls is None else "https"),
        workers=server.workers,
        message=message,
        board=board,
        door=door,
        door_server=HttpServer(door.app, held.enter_context(listen(LOOPBACK, 0)), 1.0),
        drain_timeout_s=server.drain_timeout_s,
    )
    return BuiltFront(WorkerPool(parts), tally, door.load)


def _prepare(lineup: Lineup) -> None:
    """What all workers share is made once, before any of them looks for it: the ledger's tables, the callers' key."""
    settings = lineup.settings
    with closing(Database(ledger_place(settings, os.environ))):
        pass
    file = key_file(settings)
    if file is not None:
        read_or_make_keys(file)
