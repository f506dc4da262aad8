"""A real HTTP server that imitates vLLM's OpenAI server, with scripted answers, seeded latency and faults.

In a test:

    async def main() -> None:
        script = {"2+2": "4", "plan": ['{"steps":[]}', '{"steps":[1]}']}
        async with FakeVllm(model="starter-math", script=script) as fake:
            engine = fake.status()                    # an EngineStatus that is READY
            fleet.publish((engine,))
            ...
            assert fake.requests[0].body["max_tokens"] == 16
            assert fake.aborted == []                 # requests whose client went away
            fake.faults.append(Fault(FaultKind.HTTP, status=503, times=1))

    asyncio.run(main())

As a process, for the launcher: see `tests/fakes/fake_vllm_process.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from appliance.domain.engine import EngineState, EngineStatus
from tests.fakes.answers import Answer, Fault, FaultKind, Script, ScriptReader, last_content
from tests.fakes.openai_shapes import chunk, completion, error_body, logprobs_of, text_chunk, text_completion, usage_of
from tests.fakes.pooled import POOLED, pooled
from tests.fakes.sleep_mode import SleepMode

__all__ = ["Answer", "FakeVllm", "Fault", "FaultKind", "RecordedRequest"]


@dataclass(slots=True)
class RecordedRequest:
    """A request as it came, with names of headers in lower case.

    `prompt_tokens` are those that were taken on; `sent_tokens` grows while it is answered. Times are on the monotonic
    clock.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    started_s: float
    prompt_tokens: int = 0
    sent_tokens: int = 0
    ended_s: float | None = None
    aborted: bool = False

    @property
    def request_id(self) -> str:
        """As the caller named it."""
        return self.headers.get("x-request-id", "")


@dataclass(slots=True)
class FakeVllm:
    """The server. `latency_s` is the mean time per token (± `jitter` of it, seeded), `first_token_s` comes before."""

    model: str = "fake"
    script: Script | None = None
    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    latency_s: float = 0.0
    first_token_s: float = 0.0
    jitter: float = 0.2
    api_key: str = "fake-key"
    max_model_len: int = 4096
    max_num_seqs: int = 64
    host: str = "127.0.0.1"
    port: int = 0
    health_status: int = 200
    engine_id: str = ""
    extra_routes: tuple[web.AbstractRouteDef, ...] = ()
    sleep_mode: SleepMode = field(default_factory=SleepMode)
    requests: list[RecordedRequest] = field(default_factory=list)
    running: int = 0
    max_running: int = 0
    _runner: web.AppRunner | None = None
    _reader: ScriptReader = field(init=False)
    _random: random.Random = field(init=False)
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._reader = ScriptReader(self.script)
        self._random = random.Random(self.seed)
        self.sleep_mode.running = lambda: self.running

    @property
    def base_url(self) -> str:
        """Without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    @property
    def aborted(self) -> list[RecordedRequest]:
        """Requests whose client went away."""
        return [r for r in self.requests if r.aborted]

    def bodies(self) -> list[dict[str, Any]]:
        """The recorded bodies, in order of arrival."""
        return [r.body for r in self.requests]

    def status(self, state: EngineState = EngineState.READY) -> EngineStatus:
        """This server as an engine of the fleet."""
        return EngineStatus(
            engine_id=self.engine_id or f"{self.model}-0",
            model_id=self.model,
            state=state,
            base_url=self.base_url,
            api_key=self.api_key,
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs,
        )

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/completions", self._complete)
        for path in POOLED:
            app.router.add_post(path, self._pooled)
        app.add_routes((*self.sleep_mode.routes(), *self.extra_routes))
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the port and cut all connections; `async with` does it too."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=self.health_status)

    async def _metrics(self, _: web.Request) -> web.Response:
        label = f'{{engine="0",model_name="{self.model}"}}'
        waiting = max(0, self.running - self.max_num_seqs)
        tokens = sum(r.sent_tokens for r in self.requests)
        lines = [
            f"vllm:prompt_tokens_total{label} {float(sum(r.prompt_tokens for r in self.requests if r.sent_tokens))}",
            f"vllm:generation_tokens_total{label} {float(tokens)}",
            f"vllm:num_requests_running{label} {float(self.running - waiting)}",
            f"vllm:num_requests_waiting{label} {float(waiting)}",
            f"vllm:kv_cache_usage_perc{label} {min(1.0, self.running / self.max_num_seqs)}",
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _models(self, request: web.Request) -> web.Response:
        if not self._authorised(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        card = {"id": self.model, "object": "model", "owned_by": "vllm", "max_model_len": self.max_model_len}
        return web.json_response({"object": "list", "data": [card]})

    async def _pooled(self, request: web.Request) -> web.StreamResponse:
        """What needs no text to be made: vectors, scores, tokens."""
        if request.path.startswith("/v1") and not self._authorised(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(RecordedRequest(request.path, headers, body, time.monotonic()))
        if body.get("model") != self.model:
            return error_body(404, f"The model `{body.get('model')}` does not exist.", kind="NotFoundError")
        fault = next((f for f in self.faults if f.applies(request.path)), None)
        if fault is not None:
            return error_body(fault.status, fault.message, kind="InternalServerError")
        return web.json_response(pooled(request.path, body, self.max_model_len))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if not self._authorised(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            body = await request.json()
        except json.JSONDecodeError as error:
            return error_body(400, f"JSON decode error: {error}")
        if not self.sleep_mode.takes_calls:
            return error_body(503, "The engine is paused.", kind="ServiceUnavailableError")
        if self.sleep_mode.weights_gone:
            return error_body(500, "There are no weights.", kind="InternalServerError")
        headers = {name.lower(): value for name, value in request.headers.items()}
        record = RecordedRequest(request.path, headers, body, time.monotonic())
        self.requests.append(record)
        async with self._counted(record):
            return await self._respond(request, body, record)

    @asynccontextmanager
    async def _counted(self, record: RecordedRequest) -> AsyncIterator[None]:
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        try:
            yield
        except (asyncio.CancelledError, ConnectionError):
            record.aborted = self._runner is not None
            raise
        finally:
            self.running -= 1
            record.ended_s = time.monotonic()

    async def _respond(self, request: web.Request, body: dict[str, Any], record: RecordedRequest) -> web.StreamResponse:
        if body.get("model") != self.model:
            return error_body(404, f"The model `{body.get('model')}` does not exist.", kind="NotFoundError")
        answer = self._reader.answer(body)
        usage = usage_of(body, answer)
        if usage["prompt_tokens"] > self.max_model_len:
            return error_body(
                400,
                f"This model's maximum context length is {self.max_model_len} tokens. However, your prompt contains "
                f"{usage['prompt_tokens']} input tokens, which exceeds this limit even without any output tokens. "
                "Please reduce the length of the input prompt.",
            )
        fault = next((f for f in self.faults if f.applies(last_content(body), record.request_id)), None)
        if fault is not None and fault.kind is FaultKind.HTTP:
            return error_body(fault.status, fault.message, kind="InternalServerError")
        record.prompt_tokens = usage["prompt_tokens"]
        if body.get("stream"):
            return await self._stream(request, body, answer, fault, record)
        return await self._whole(request, body, answer, fault, record)

    async def _whole(
        self, request: web.Request, body: dict[str, Any], answer: Answer, fault: Fault | None, record: RecordedRequest
    ) -> web.StreamResponse:
        tokens, finish = self._cut(body, answer, fault)
        match fault.kind if fault else None:
            case FaultKind.RESET:
                _cut_connection(request)
            case FaultKind.HANG:
                await asyncio.Event().wait()
            case FaultKind.WRONG_JSON:
                return web.Response(text="{no json", content_type="application/json")
            case FaultKind.ERROR_EVENT:
                return error_body(500, fault.message if fault else "", kind="InternalServerError")
        for index in range(len(tokens)):
            await self._pause(index, fault)
            record.sent_tokens += 1
        document = completion(self._id(request), self.model, body, answer, tokens, finish)
        if request.path == "/v1/completions":
            document = text_completion(document, str(body["prompt"]) if body.get("echo") else "")
        return web.json_response(document)

    async def _stream(
        self, request: web.Request, body: dict[str, Any], answer: Answer, fault: Fault | None, record: RecordedRequest
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        name = self._id(request)

        if body.get("echo") and body.get("logprobs") is not None:
            error = {"message": "logprobs of a prompt can't be streamed", "type": "InternalServerError", "code": 500}
            await response.write(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
            return response
        plain, choices = request.path == "/v1/completions", range(body.get("n") or 1)

        async def send(delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> None:
            for index in choices:
                event = chunk(name, self.model, delta, finish, logprobs, index)
                event = text_chunk(event) if plain else event
                await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        if not plain:
            await send({"role": "assistant", "content": ""})
        elif body.get("echo"):
            await send({"content": body["prompt"]})
        tokens, finish = self._cut(body, answer, fault)
        for delta in answer.deltas:
            await send(dict(delta))
            record.sent_tokens += 1
        extra = dict(answer.delta)
        for index, token in enumerate(tokens):
            if fault is not None and index >= fault.after_tokens and await _strike(request, response, fault):
                return response
            await self._pause(index, fault)
            await send({"content": token} | extra, logprobs=logprobs_of(body, answer, token))
            extra = {}
            record.sent_tokens += 1
        if fault is not None and len(tokens) <= fault.after_tokens and await _strike(request, response, fault):
            return response
        await send({"content": ""}, finish=finish)
        if (body.get("stream_options") or {}).get("include_usage"):
            spent = usage_of(body, answer, len(choices) * len(tokens))
            last = chunk(name, self.model, None, None, None) | {"usage": spent}
            await response.write(b"data: " + json.dumps(last).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def _cut(self, body: dict[str, Any], answer: Answer, fault: Fault | None) -> tuple[tuple[str, ...], str]:
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or self.max_model_len
        tokens = answer.tokens()
        match fault.kind if fault else None:
            case FaultKind.EMPTY:
                return (), "stop"
            case FaultKind.ENDLESS:
                return tuple(itertools.islice(itertools.cycle(tokens or (" again",)), limit)), "length"
            case FaultKind.ABORT:
                return tokens[: fault.after_tokens if fault else 0], "abort"
        if len(tokens) > limit:
            return tokens[:limit], "length"
        return tokens, answer.finish_reason

    async def _pause(self, index: int, fault: Fault | None) -> None:
        wait = self.latency_s * (1 + self.jitter * self._random.uniform(-1, 1))
        wait += self.first_token_s if index == 0 else 0
        wait += fault.delay_s if fault is not None and fault.kind is FaultKind.SLOW else 0
        await asyncio.sleep(wait)

    def _authorised(self, request: web.Request) -> bool:
        return not self.api_key or request.headers.get("Authorization") == f"Bearer {self.api_key}"

    def _id(self, request: web.Request) -> str:
        return f"chatcmpl-{request.headers.get('X-Request-Id') or next(self._ids)}"


async def _strike(request: web.Request, response: web.StreamResponse, fault: Fault) -> bool:
    """Do what the fault does in the middle of a stream; True when the stream is over."""
    match fault.kind:
        case FaultKind.RESET:
            _cut_connection(request)
        case FaultKind.HANG:
            await asyncio.Event().wait()
        case FaultKind.TRUNCATED:
            return True
        case FaultKind.WRONG_JSON:
            await response.write(b"data: {no json\n\n")
            return True
        case FaultKind.ERROR_EVENT:
            event = {"error": {"message": fault.message, "type": "InternalServerError", "param": None, "code": 500}}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n")
            return True
    return False


def _cut_connection(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("scripted")
