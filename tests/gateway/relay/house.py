"""Two doors over the same engines, one with the fast path and one without it, and what each tells of requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import aiohttp

from appliance.access.limits import Limits
from appliance.bootstrap.server import HttpServer, listen
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import PASSTHROUGH_LIMITS, CoordinatorOptions
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.strategies import default_strategies
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.audit import Audit
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.journal import NO_JOURNAL, Journal
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.tenant import Tenant
from appliance.domain.usage import PassThroughCall, nobody
from appliance.engines.client import HttpEngineClient
from appliance.engines.relay_client import RelayClient
from appliance.gateway.app import GatewayParts, build
from appliance.gateway.auth import KeyRing
from appliance.gateway.openai import schema
from appliance.gateway.openai.models import ModelListing
from appliance.gateway.relay.accounts import RelayAccounts
from appliance.gateway.relay.carrier import Carrier
from appliance.gateway.relay.passage import Rounds
from appliance.gateway.relay.relay import RelayParts
from appliance.gateway.relay.wish import Understood
from appliance.ledger.audit_log import NO_AUDIT
from appliance.telemetry.logs import RequestLines
from appliance.telemetry.metrics import Metrics
from tests.coordinator.house import OPTIONS, MemoryTraces
from tests.fakes.fake_coordinator import FakeTraces, FakeUsage
from tests.fakes.fake_vllm import FakeVllm
from tests.fakes.polling import until
from tests.gateway.door import KEY

MODEL = "generalist"
CHAT = "/v1/chat/completions"
SECRET = b"secret of the salts"


@dataclass(slots=True)
class Calls:
    """A sink that remembers."""

    seen: list[PassThroughCall] = field(default_factory=list)

    def record_pass_through(self, call: PassThroughCall, on_written: Callable[[], None] = nobody) -> None:
        self.seen.append(call)
        on_written()


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, and the pieces in which its body came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The payloads of its events; comments are left out, [DONE] is a string."""
        payloads = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [payload.decode() if payload == b"[DONE]" else json.loads(payload) for payload in payloads]

    @property
    def text(self) -> str:
        """All content of its events."""
        said = [event["choices"] for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join(choices[0]["delta"].get("content") or "" for choices in said)


@dataclass(slots=True)
class Door:
    """One gateway and everything below it."""

    url: str
    session: aiohttp.ClientSession
    dispatcher: Dispatcher
    limits: Limits
    metrics: Metrics
    traces: MemoryTraces
    calls: Calls
    relay: RelayClient
    rounds: Rounds

    async def post(self, body: object, path: str = CHAT, headers: Mapping[str, str] | None = None) -> Reply:
        """One request with the key, to its end."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {"authorization": f"Bearer {KEY}", **(headers or {})}
        async with self.session.post(f"{self.url}{path}", data=data, headers=said) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, found, await response.read())

    async def settled(self) -> None:
        """Wait until nothing of any request is left: places, accounts, passages."""

        def even() -> bool:
            return self.dispatcher.idle and self.limits.hold_nothing and not self.rounds.passages

        await until(even)


@dataclass(slots=True)
class House:
    """Both doors."""

    fast: Door
    plain: Door
    fleet: Fleet


def ask(content: str = "Which pen?", **fields: Any) -> dict[str, Any]:
    """A request for the model of the house."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


@asynccontextmanager
async def house(
    *engines: FakeVllm | EngineStatus,
    tenant: Tenant | None = None,
    policy: DataPolicy = OPEN,
    keep_alive_s: float = 10.0,
    wall_s: float = 60.0,
    audit: Audit = NO_AUDIT,
    journal: Journal = NO_JOURNAL,
) -> AsyncIterator[House]:
    """The doors over `engines`; the caller has started the fake ones."""
    fleet = Fleet()
    fleet.publish(tuple(one if isinstance(one, EngineStatus) else one.status() for one in engines))
    make = partial(_door, fleet, tenant or Tenant("acme"), policy, keep_alive_s, wall_s, audit, journal)
    async with make(fast=True) as fast, make(fast=False) as plain:
        yield House(fast, plain, fleet)


@asynccontextmanager
async def replicas(number: int, **fields: Any) -> AsyncIterator[list[FakeVllm]]:
    """So many fake engines of the model."""
    async with AsyncExitStack() as stack:
        fakes = [FakeVllm(model=MODEL, engine_id=f"{MODEL}-{index}", **fields) for index in range(number)]
        for fake in fakes:
            await stack.enter_async_context(fake)
        yield fakes


@asynccontextmanager
async def _door(
    fleet: Fleet,
    tenant: Tenant,
    policy: DataPolicy,
    keep_alive_s: float,
    wall_s: float,
    audit: Audit,
    journal: Journal,
    *,
    fast: bool,
) -> AsyncIterator[Door]:
    client, relay, calls, traces = HttpEngineClient(), RelayClient(), Calls(), MemoryTraces()
    metrics, lines = Metrics(models=[MODEL], fleet=fleet), RequestLines("tests.relay")
    dispatcher, rounds = Dispatcher(fleet, client, policy=policy), Rounds(keep_alive_s, lines.write)
    (instruct,) = load_prompt_sets(["instruct"]).values()
    options: CoordinatorOptions = replace(OPTIONS, passthrough_budget=replace(PASSTHROUGH_LIMITS, wall_s=wall_s))
    options = replace(options, roles=replace(options.roles, generalist=(MODEL,), planner=(), executors={}))
    options = replace(options, roles=replace(options.roles, verifier=(), synthesizer=()))
    counted = _Counted(traces, metrics)
    coordinator = Coordinator(
        options, {MODEL: instruct}, dispatcher, counted, default_strategies(), salt_secret=SECRET, policy=policy
    )
    authenticator = KeyRing([KEY], tenant)
    accounts = RelayAccounts(metrics, calls, lines, journal)
    parts = RelayParts(
        dispatcher=dispatcher,
        authenticator=authenticator,
        limits=coordinator.limits,
        policy=policy,
        carrier=Carrier(dispatcher, relay, coordinator.limits, accounts, rounds, audit),
        understood=Understood(frozenset({MODEL}), 4, schema.parse),
        salt_secret=SECRET,
        max_body_bytes=100_000,
        wall_s=wall_s,
    )
    gateway = GatewayParts(
        answerer=coordinator,
        forecaster=coordinator,
        traces=FakeTraces(),
        usage=FakeUsage(),
        fleet=fleet,
        metrics=metrics,
        authenticator=authenticator,
        role_models={},
        models=[ModelListing("auto", "appliance", virtual=True), ModelListing(MODEL, "nobody")],
        max_body_bytes=100_000,
        keep_alive_s=keep_alive_s,
        relay=parts if fast else None,
        audit=audit,
    )
    server = HttpServer(build(gateway, version="0"), listen("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve())
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            yield Door(server.url, session, dispatcher, coordinator.limits, metrics, traces, calls, relay, rounds)
    finally:
        server.stop()
        await serving
        await coordinator.close()
        rounds.close()
        await relay.close()
        await client.close()
        assert (dispatcher.idle, rounds.passages, relay.open_connections) == (True, 0, 0)


@dataclass(slots=True)
class _Counted:
    """The ordinary route's sink: metrics, then memory."""

    traces: MemoryTraces
    metrics: Metrics

    async def save(self, trace: Any) -> None:
        self.metrics.record_trace(trace)
        await self.traces.save(trace)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def raw_engine(*scripts: Script, engine_id: str = f"{MODEL}-0") -> AsyncIterator[EngineStatus]:
    """An engine that does what a script says with each connection, in turn; the last script stays."""
    left: Sequence[Script] = list(scripts)
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        script, left = left[0], left[1:] or left
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield EngineStatus(engine_id, MODEL, EngineState.READY, f"http://127.0.0.1:{port}", "key", 4096, 64, pid=1)
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)
