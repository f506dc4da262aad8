"""The gateway around a fake coordinator: served by a real uvicorn, or driven as plain ASGI."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.domain.audit import Audit
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.tenant import Tenant
from appliance.gateway.app import OPEN_PATHS, GatewayParts, build
from appliance.gateway.auth import Authenticator, KeyRing
from appliance.gateway.middleware.rate_limits import HeadersOf
from appliance.gateway.openai.models import ModelListing
from appliance.gateway.sse import KEEP_ALIVE
from appliance.ledger.audit_log import NO_AUDIT
from appliance.telemetry.metrics import Metrics
from tests.fakes.fake_coordinator import FakeCoordinator, FakeTraces, FakeUsage, Step

KEY = "sk-test-key-of-the-gateway"
MODELS = ("starter-planner", "starter-generalist")
ROLE_MODELS = {"planner": ("starter-planner",), "generalist": ("starter-generalist",), "synthesizer": ()}


def engine(model_id: str, state: EngineState = EngineState.READY) -> EngineStatus:
    """An engine of the fleet."""
    return EngineStatus(
        engine_id=f"{model_id}-0",
        model_id=model_id,
        state=state,
        base_url="http://127.0.0.1:8100",
        api_key="engine-secret",
        max_model_len=768,
        max_num_seqs=16,
        pid=4711,
    )


@dataclass(slots=True)
class House:
    """One gateway and the fakes behind it."""

    coordinator: FakeCoordinator = field(default_factory=FakeCoordinator)
    traces: FakeTraces = field(default_factory=FakeTraces)
    usage: FakeUsage = field(default_factory=FakeUsage)
    audit: Audit = NO_AUDIT
    fleet: Fleet = field(default_factory=Fleet)
    served: tuple[str, ...] = MODELS
    max_body_bytes: int = 100_000
    keep_alive_s: float = 10.0
    open_paths: frozenset[str] = OPEN_PATHS
    rate_limits: HeadersOf = lambda _tenant, _now_s: []
    authenticator: Authenticator = field(
        default_factory=lambda: KeyRing([KEY, "sk-another-key-of-the-gateway"], Tenant("default"))
    )
    app: FastAPI = field(init=False)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.fleet.publish(tuple(engine(model) for model in MODELS))
        self.metrics = Metrics(models=MODELS, fleet=self.fleet)
        listings = [ModelListing("auto", "appliance", virtual=True)]
        listings += [ModelListing(model, "publisher", licence="Apache-2.0", max_model_len=768) for model in self.served]
        parts = GatewayParts(
            answerer=self.coordinator,
            forecaster=self.coordinator,
            traces=self.traces,
            usage=self.usage,
            audit=self.audit,
            fleet=self.fleet,
            metrics=self.metrics,
            authenticator=self.authenticator,
            open_paths=self.open_paths,
            rate_limits=self.rate_limits,
            role_models=ROLE_MODELS,
            models=listings,
            max_body_bytes=self.max_body_bytes,
            keep_alive_s=self.keep_alive_s,
        )
        self.app = build(parts, version="0")


def house(*steps: Step, max_body_bytes: int = 100_000, keep_alive_s: float = 10.0) -> House:
    """A gateway whose coordinator plays `steps`."""
    return House(FakeCoordinator(steps), max_body_bytes=max_body_bytes, keep_alive_s=keep_alive_s)


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The application behind a real uvicorn on a free port; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def until_silent(app: ASGIApp, told: asyncio.Event) -> ASGIApp:
    """The application, which sets `told` as soon as it has sent a comment into a silent stream."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def watching(message: Message) -> None:
            await send(message)
            if message.get("body") == KEEP_ALIVE:
                told.set()

        await app(scope, receive, watching)

    return watched


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it left the application."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """OpenAI's error object."""
        return self.json()["error"]


def call(
    app: FastAPI,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    body: bytes | object = b"",
    headers: list[tuple[bytes, bytes]] | None = None,
    query: str = "",
) -> Reply:
    """One request straight into the application, with the key unless `headers` are given."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(drive(app, method, path, content, headers, query))


async def drive(
    app: FastAPI,
    method: str,
    path: str,
    body: bytes = b"",
    headers: list[tuple[bytes, bytes]] | None = None,
    query: str = "",
) -> Reply:
    """`call` inside a running loop."""
    if headers is None:
        headers = [(b"authorization", b"Bearer " + KEY.encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"test"), (b"content-length", str(len(body)).encode()), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    pending = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if pending:
            return pending.pop()
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))


def chat(**fields: Any) -> dict[str, Any]:
    """A minimal request body."""
    return {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **fields}
