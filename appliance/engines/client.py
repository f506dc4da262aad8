"""HTTP to one engine: a call, a probe, a health check, sleep and waking."""

from __future__ import annotations

# aiohttp's own timeouts are both ClientError and TimeoutError, so ClientError is caught first wherever both may come.
import asyncio
import itertools
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol

import aiohttp
import orjson

from appliance.domain.endpoint import Endpoint, EngineTask
from appliance.domain.engine import EngineStatus
from appliance.domain.request import CallChunk, CallContext, EngineCall
from appliance.engines.chunks import body_of, chunk_of, text_chunk_of, whole_chunk_of
from appliance.engines.paths import url_of
from appliance.engines.refusals import raise_rejected, refuse, too_late, unreachable
from appliance.engines.sse import SseParser
from appliance.errors import EngineRejected, EngineUnavailable

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 4.0
"""vLLM's server closes an idle connection after 5 s; one that is about to be closed must not be taken again."""
LAST_BYTES_S = 0.05
"""After [DONE] the end of the body follows at once; waiting for it keeps the connection for the next call."""
LEAST_DRAIN_S = 0.5
"""To pause takes a moment even where nothing is in flight."""
PROBE_PRIORITY = -1_000_000
"""Before everything that waits in the engine: a probe asks whether it works, not whether it is busy."""
PROBES: Mapping[EngineTask, tuple[Endpoint, Mapping[str, Any], str]] = {
    # Plain completions need no chat template.
    EngineTask.GENERATE: (Endpoint.COMPLETIONS, {"prompt": "1", "max_tokens": 1, "temperature": 0}, "choices"),
    EngineTask.EMBED: (Endpoint.EMBEDDINGS, {"input": "1"}, "data"),
    EngineTask.RERANK: (Endpoint.RERANK, {"query": "1", "documents": ["1"]}, "results"),
}
"""The least work that each kind of engine can show: where it is asked, for what, and where in the answer it stands."""

_PROGRESS = re.compile(
    r"^vllm:(?:prompt_tokens_total|generation_tokens_total|kv_cache_usage_perc)(?:\{[^}]*\})? (\S+)$", re.MULTILINE
)


class EngineClient(Protocol):
    """The edge between the request path and engines."""

    def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """Chunks as the engine makes them; `aclose()` or cancellation aborts the call in the engine."""
        ...

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        """Return when the engine has made one token, vector or score; EngineUnavailable or EngineRejected otherwise."""
        ...

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Whether /health answers 200. It says nothing of a wedged engine."""
        ...

    async def progress(self, engine: EngineStatus, timeout_s: float = 2.0) -> str | None:
        """Something that changes with each step of a working engine, by its own metrics; None when it doesn't say."""
        ...

    async def sleep(self, engine: EngineStatus, level: int, drain_timeout_s: float, timeout_s: float) -> None:
        """Let calls in flight finish for `drain_timeout_s`, abort the rest, and free the GPU within `timeout_s`.

        EngineUnavailable or EngineRejected where it can't; it may be paused then.
        """
        ...

    async def wake_up(self, engine: EngineStatus, level: int, timeout_s: float) -> None:
        """Bring back what `sleep(level)` took from the GPU; EngineUnavailable or EngineRejected otherwise."""
        ...

    async def is_sleeping(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Whether it sleeps; EngineUnavailable or EngineRejected when it doesn't say."""
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
        """Stream one answer; of an endpoint that has no streams, the whole of it as one chunk.

        Raises EngineUnavailable (not reachable, connection lost, aborted by the engine), EngineRejected (HTTP error
        or error event), ContextTooLong, BudgetExhausted (past `ctx.deadline_s`, on the loop's clock). Text that came
        before the error has been yielded by then.
        """
        async with self._response(engine, call, ctx) as response:
            if not call.streamed:
                yield await _whole(response, engine, call.endpoint, ctx.deadline_s)
                return
            finished = False
            async with aclosing(_events(response, engine, ctx.deadline_s)) as events:
                async for event in events:
                    chunk = _parse(event, engine, call.endpoint)
                    if chunk is None:
                        continue
                    if chunk.finish_reason == "abort":
                        raise EngineUnavailable(f"engine {engine.engine_id} broke off its answer; it is stopping")
                    finished = finished or chunk.finish_reason is not None
                    yield chunk
        if not finished:
            raise EngineUnavailable(f"engine {engine.engine_id} ended its answer in the middle")

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        """Ask for the least that an engine of its kind can show."""
        endpoint, asked, where = PROBES[engine.task]
        body = {"model": engine.model_id, "priority": PROBE_PRIORITY, **asked}
        url = url_of(engine, endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                async with self._open().post(url, data=orjson.dumps(body), headers=_headers(engine)) as response:
                    if response.status != 200:
                        await refuse(response, engine)
                    if not orjson.loads(await response.read()).get(where):
                        raise EngineRejected(f"engine {engine.engine_id} generated nothing", status=200)
        except aiohttp.ClientError as error:
            raise unreachable(engine, error) from error
        except TimeoutError:
            raise EngineUnavailable(f"engine {engine.engine_id} made no token within {timeout_s:g} s") from None
        except orjson.JSONDecodeError:
            raise EngineRejected(f"engine {engine.engine_id} answered with broken JSON", status=502) from None

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Whether /health answers 200 within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), self._open().get(url_of(engine, "/health")) as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def progress(self, engine: EngineStatus, timeout_s: float = 2.0) -> str | None:
        """vLLM's counts of tokens and its use of the KV cache, which grows while a long prompt is read in pieces."""
        try:
            async with asyncio.timeout(timeout_s), self._open().get(url_of(engine, "/metrics")) as response:
                found = _PROGRESS.findall(await response.text())
        except (TimeoutError, aiohttp.ClientError):
            return None
        return " ".join(found) or None

    async def sleep(self, engine: EngineStatus, level: int, drain_timeout_s: float, timeout_s: float) -> None:
        """By /pause, which waits for the calls in flight, then /sleep, which aborts those that are left."""
        with suppress(EngineUnavailable):
            await self._control(engine, "POST", "/pause?mode=wait", max(drain_timeout_s, LEAST_DRAIN_S))
        await self._control(engine, "POST", f"/sleep?level={level}&mode=abort", timeout_s)

    async def wake_up(self, engine: EngineStatus, level: int, timeout_s: float) -> None:
        """By /wake_up. After level 2 the weights are read from disk again before the KV cache takes its place."""
        if level < 2:
            await self._control(engine, "POST", "/wake_up", timeout_s)
            return
        await self._control(engine, "POST", "/wake_up?tags=weights", timeout_s)
        await self._control(engine, "POST", "/collective_rpc", timeout_s, {"method": "reload_weights"})
        await self._control(engine, "POST", "/wake_up?tags=kv_cache", timeout_s)

    async def is_sleeping(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """By /is_sleeping."""
        answer = await self._control(engine, "GET", "/is_sleeping", timeout_s)
        return bool(answer.get("is_sleeping"))

    async def close(self) -> None:
        """Close all connections; the client may be used again afterwards."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _control(
        self, engine: EngineStatus, method: str, path: str, timeout_s: float, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One of vLLM's development routes; its answer, empty where it is no JSON object."""
        data = None if body is None else orjson.dumps(body)
        url = url_of(engine, path)
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._open().request(method, url, data=data, headers=_headers(engine)) as response,
            ):
                if response.status != 200:
                    await refuse(response, engine)
                answer = orjson.loads(await response.read() or b"{}")
        except aiohttp.ClientError as error:
            raise unreachable(engine, error) from error
        except TimeoutError:
            told = f"engine {engine.engine_id} did not answer {path.partition('?')[0]} within {timeout_s:g} s"
            raise EngineUnavailable(told) from None
        except orjson.JSONDecodeError:
            return {}
        return answer if isinstance(answer, dict) else {}

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
        self, engine: EngineStatus, call: EngineCall, ctx: CallContext
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response with status 200; its connection is closed on the way out unless the body was read to the end."""
        call_number = next(self._call_numbers)
        headers = _headers(engine) | {"X-Request-Id": f"{ctx.request_id}-{ctx.task_id}-{ctx.role}-{call_number}"}
        url, body = url_of(engine, call.endpoint), orjson.dumps(body_of(engine, call, ctx))
        try:
            async with asyncio.timeout_at(ctx.deadline_s):
                response = await self._open().post(url, data=body, headers=headers)
        except aiohttp.ClientError as error:
            raise unreachable(engine, error) from error
        except TimeoutError:
            raise too_late(engine) from None
        try:
            if response.status != 200:
                await refuse(response, engine)
            yield response
        finally:
            response.close()


async def _whole(
    response: aiohttp.ClientResponse, engine: EngineStatus, endpoint: Endpoint, deadline_s: float
) -> CallChunk:
    """The answer of an endpoint that has no streams."""
    try:
        async with asyncio.timeout_at(deadline_s):
            body = await response.content.read()
    except aiohttp.ClientError as error:
        raise unreachable(engine, error) from error
    except TimeoutError:
        raise too_late(engine) from None
    document = _event(body, engine)
    try:
        return whole_chunk_of(document, endpoint, engine.engine_id)
    except (KeyError, TypeError, AttributeError):
        raise _unknown_shape(engine) from None


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
        raise unreachable(engine, error) from error
    except TimeoutError:
        raise too_late(engine) from None


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
        raise_rejected(engine, status, str(error.get("message", "")), "in the middle of its answer")
    return event


def _parse(event: dict[str, Any], engine: EngineStatus, endpoint: Endpoint) -> CallChunk | None:
    try:
        return (chunk_of if endpoint is Endpoint.CHAT else text_chunk_of)(event, engine.engine_id)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise _unknown_shape(engine) from None


def _unknown_shape(engine: EngineStatus) -> EngineRejected:
    return EngineRejected(f"engine {engine.engine_id} sent an event of an unknown shape", status=502)


def _headers(engine: EngineStatus) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.api_key}", "Content-Type": "application/json"}
