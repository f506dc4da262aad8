"""HTTP to one engine: a streamed chat, a probe, a health check."""

from __future__ import annotations

# aiohttp's own timeouts are both ClientError and TimeoutError, so ClientError is caught first wherever both may come.
import asyncio
import itertools
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, NoReturn, Protocol

import aiohttp
import orjson

from appliance.domain.engine import EngineStatus
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.engines.chunks import body_of, chunk_of
from appliance.engines.sse import SseParser
from appliance.errors import BudgetExhausted, ContextTooLong, EngineRejected, EngineUnavailable

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 4.0
"""vLLM's server closes an idle connection after 5 s; one that is about to be closed must not be taken again."""
LAST_BYTES_S = 0.05
"""After [DONE] the end of the body follows at once; waiting for it keeps the connection for the next call."""
PROBE_PRIORITY = -1_000_000
"""Before everything that waits in the engine: a probe asks whether it works, not whether it is busy."""
ERROR_BODY_BYTES = 65_536

_PROGRESS = re.compile(
    r"^vllm:(?:prompt_tokens_total|generation_tokens_total|kv_cache_usage_perc)(?:\{[^}]*\})? (\S+)$", re.MULTILINE
)
_CONTEXT_WORDS = ("maximum context length", "maximum model length")


class EngineClient(Protocol):
    """The edge between the request path and engines."""

    def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """Chunks as the engine makes them; `aclose()` or cancellation aborts the call in the engine."""
        ...

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        """Return when the engine has generated one token; EngineUnavailable or EngineRejected otherwise."""
        ...

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Whether /health answers 200. It says nothing of a wedged engine."""
        ...

    async def progress(self, engine: EngineStatus, timeout_s: float = 2.0) -> str | None:
        """Something that changes with each step of a working engine, by its own metrics; None when it doesn't say."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class HttpEngineClient:
    """EngineClient over aiohttp. Needs a running event loop from its first call on, and `close()` at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._call_numbers = itertools.count(1)

    async def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """Stream one chat completion.

        Raises EngineUnavailable (not reachable, connection lost, aborted by the engine), EngineRejected (HTTP error
        or error event), ContextTooLong, BudgetExhausted (past `ctx.deadline_s`, on the loop's clock). Text that came
        before the error has been yielded by then.
        """
        finished = False
        async with (
            self._response(engine, body_of(engine, call, ctx), ctx) as response,
            aclosing(_events(response, engine, ctx.deadline_s)) as events,
        ):
            async for event in events:
                chunk = _parse(event, engine)
                if chunk is None:
                    continue
                if chunk.finish_reason == "abort":
                    raise EngineUnavailable(f"engine {engine.engine_id} broke off its answer; it is stopping")
                finished = finished or chunk.finish_reason is not None
                yield chunk
        if not finished:
            raise EngineUnavailable(f"engine {engine.engine_id} ended its answer in the middle")

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        """Ask for one token through /v1/completions, which needs no chat template."""
        body = {"model": engine.model_id, "prompt": "1", "max_tokens": 1, "temperature": 0, "priority": PROBE_PRIORITY}
        url = f"{engine.base_url}/v1/completions"
        try:
            async with asyncio.timeout(timeout_s):
                async with self._open().post(url, data=orjson.dumps(body), headers=_headers(engine)) as response:
                    if response.status != 200:
                        await _refuse(response, engine)
                    if not orjson.loads(await response.read()).get("choices"):
                        raise EngineRejected(f"engine {engine.engine_id} generated nothing", status=200)
        except aiohttp.ClientError as error:
            raise _unreachable(engine, error) from error
        except TimeoutError:
            raise EngineUnavailable(f"engine {engine.engine_id} made no token within {timeout_s:g} s") from None
        except orjson.JSONDecodeError:
            raise EngineRejected(f"engine {engine.engine_id} answered with broken JSON", status=502) from None

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Whether /health answers 200 within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._open().get(f"{engine.base_url}/health") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def progress(self, engine: EngineStatus, timeout_s: float = 2.0) -> str | None:
        """vLLM's counts of tokens and its use of the KV cache, which grows while a long prompt is read in pieces."""
        try:
            async with asyncio.timeout(timeout_s), self._open().get(f"{engine.base_url}/metrics") as response:
                found = _PROGRESS.findall(await response.text())
        except (TimeoutError, aiohttp.ClientError):
            return None
        return " ".join(found) or None

    async def close(self) -> None:
        """Close all connections; the client may be used again afterwards."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                read_bufsize=2**20,
            )
        return self._session

    @asynccontextmanager
    async def _response(
        self, engine: EngineStatus, body: dict[str, Any], ctx: CallContext
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response with status 200; its connection is closed on the way out unless the body was read to the end."""
        call_number = next(self._call_numbers)
        headers = _headers(engine) | {"X-Request-Id": f"{ctx.request_id}-{ctx.task_id}-{ctx.role}-{call_number}"}
        url = f"{engine.base_url}/v1/chat/completions"
        try:
            async with asyncio.timeout_at(ctx.deadline_s):
                response = await self._open().post(url, data=orjson.dumps(body), headers=headers)
        except aiohttp.ClientError as error:
            raise _unreachable(engine, error) from error
        except TimeoutError:
            raise _too_late(engine) from None
        try:
            if response.status != 200:
                await _refuse(response, engine)
            yield response
        finally:
            response.close()


async def _events(
    response: aiohttp.ClientResponse, engine: EngineStatus, deadline_s: float
) -> AsyncGenerator[dict[str, Any]]:
    """The events up to [DONE] or the end of the body."""
    parser = SseParser()
    piece = b"begin"
    while piece:
        piece = await _read(response, engine, deadline_s)
        try:
            payloads = parser.feed(piece) if piece else parser.flush()
        except ValueError as error:
            raise EngineRejected(f"engine {engine.engine_id}: {error}", status=502) from None
        for payload in payloads:
            if payload == b"[DONE]":
                await _read_end(response)
                return
            yield _event(payload, engine)


async def _read(response: aiohttp.ClientResponse, engine: EngineStatus, deadline_s: float) -> bytes:
    # The timeout is around each read, not around the loop: the consumer's own waiting between two chunks is not ours.
    try:
        async with asyncio.timeout_at(deadline_s):
            return await response.content.readany()
    except aiohttp.ClientError as error:
        raise _unreachable(engine, error) from error
    except TimeoutError:
        raise _too_late(engine) from None


async def _read_end(response: aiohttp.ClientResponse) -> None:
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(LAST_BYTES_S):
            await response.content.read()


def _event(payload: bytes, engine: EngineStatus) -> dict[str, Any]:
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        raise EngineRejected(f"engine {engine.engine_id} sent an event that is no JSON object", status=502)
    if event.get("error"):
        error = event["error"] if isinstance(event["error"], dict) else {"message": str(event["error"])}
        code = error.get("code")
        status = code if isinstance(code, int) else 500
        _raise_rejected(engine, status, str(error.get("message", "")), "in the middle of its answer")
    return event


def _parse(event: dict[str, Any], engine: EngineStatus) -> CallChunk | None:
    try:
        return chunk_of(event, engine.engine_id)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise EngineRejected(f"engine {engine.engine_id} sent an event of an unknown shape", status=502) from None


async def _refuse(response: aiohttp.ClientResponse, engine: EngineStatus) -> NoReturn:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            body = await response.content.read(ERROR_BODY_BYTES)
    except (TimeoutError, aiohttp.ClientError):
        body = b""
    _raise_rejected(engine, response.status, _message(body), "")


def _message(body: bytes) -> str:
    try:
        document = orjson.loads(body)
        error = document.get("error", document)
        return str(error.get("message", "")) if isinstance(error, dict) else str(error)
    except (orjson.JSONDecodeError, AttributeError):
        return body.decode(errors="replace")


def _raise_rejected(engine: EngineStatus, status: int, detail: str, where: str) -> NoReturn:
    # The detail may quote the prompt, so it stays out of the message.
    if status == 400 and any(words in detail for words in _CONTEXT_WORDS):
        raise ContextTooLong(
            f"the prompt does not fit into the context of {engine.model_id}, {engine.max_model_len} tokens; shorten it",
            param="messages",
        )
    where = f" {where}" if where else ""
    raise EngineRejected(
        f"engine {engine.engine_id} answered with status {status}{where}", status=status, detail=detail
    )


def _headers(engine: EngineStatus) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.api_key}", "Content-Type": "application/json"}


def _too_late(engine: EngineStatus) -> BudgetExhausted:
    return BudgetExhausted(f"the request's time was up while engine {engine.engine_id} worked", limit="wall_s")


def _unreachable(engine: EngineStatus, error: BaseException) -> EngineUnavailable:
    reason = str(error) or type(error).__name__
    return EngineUnavailable(f"engine {engine.engine_id} can't be reached: {reason}")
