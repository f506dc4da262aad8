"""`POST /v1/traces/{id}/replay`: a stored request runs again, as it was or under another choice."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.types import Receive, Scope, Send

from appliance.domain.request import ChatRequest, ContentDelta, Effort, Finished, Origin
from appliance.domain.trace import Trace
from appliance.errors import BudgetExhausted, EngineError, InvalidRequest
from appliance.gateway import exchange as exchanges
from appliance.gateway.disconnect import until_disconnect
from appliance.gateway.error_responses import invalid
from appliance.gateway.exchange import Exchange
from appliance.gateway.openai.answers import Answerer, Events
from appliance.gateway.openai.described import described
from appliance.gateway.traces import TraceReader, dump, owned

_GONE = 499
"""Status for the log and the metrics, as nginx has it; nobody is there to receive it."""

_pair = TypeAdapter(dict[str, Trace])


class TracePair(BaseModel):
    """A request as it was, and as it went now."""

    original: Trace
    replay: Trace


_Name = Annotated[str, Field(min_length=1, max_length=256)]


class ReplayBody(BaseModel):
    """What is to be different: other models in roles, another strategy, another effort. Nothing: as it was."""

    model_config = ConfigDict(extra="forbid")

    model_for: Annotated[dict[_Name, _Name], Field(max_length=64)] | None = None
    strategy: _Name | None = None
    effort: Effort | None = None

    def applied_to(self, request: ChatRequest) -> ChatRequest:
        """The request under the other choice."""
        chosen = {"model_for": self.model_for, "strategy": self.strategy, "effort": self.effort}
        return replace(request, **{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]  # by name


def router(reader: TraceReader, answerer: Answerer) -> APIRouter:
    """The replay route around one ledger and one coordinator."""
    routes = APIRouter(tags=["traces"])

    @routes.post(
        "/v1/traces/{trace_id}/replay", response_class=Response, **described(ReplayBody, TracePair, needed=False)
    )
    async def replay(trace_id: str, request: Request) -> Response:
        """Run it again, as a new request of the same tenant; both traces come back."""
        body, exchange = _parsed(await request.body()), exchanges.of(request.scope)
        assert exchange.tenant is not None, "authentication comes before routing"
        original = await owned(reader, trace_id, exchange.tenant)
        exchange.headers.append((b"x-trace-id", exchange.trace_id.encode()))
        events = answerer.answer(
            body.applied_to(_stored(original)),
            request_id=exchange.request_id,
            trace_id=exchange.trace_id,
            tenant=exchange.tenant,
            origin=Origin(exchange.traceparent, replay_of=original.trace_id),
        )
        return _ReplayAnswer(events, original, reader)

    return routes


class _ReplayAnswer(Response):
    """Runs the request, then sends both traces; a caller who leaves ends it."""

    def __init__(self, events: Events, original: Trace, reader: TraceReader) -> None:
        super().__init__()
        self._events = events
        self._original = original
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchanges.of(scope)
        if not await until_disconnect(receive, self._answer(exchange, scope, receive, send)):
            exchange.error = "the caller went away"
            exchange.status = exchange.status or _GONE

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._run(exchange)
        assert exchange.tenant is not None, "authentication comes before routing"
        trace = await owned(self._reader, exchange.trace_id, exchange.tenant)
        # The tenant may have stopped keeping contents since; whoever asked may still see the answer.
        shown = trace if answer is None else replace(trace, answer=answer)
        body = b'{"original":' + dump(self._original) + b',"replay":' + dump(shown) + b"}"
        await Response(body, media_type="application/json")(scope, receive, send)

    async def _run(self, exchange: Exchange) -> str | None:
        """The answer. That an engine failed or the budget did not suffice is a result too: the trace tells it."""
        said: list[str] = []
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    if isinstance(event, ContentDelta):
                        if exchange.first_token_s is None:
                            exchange.first_token_s = time.monotonic() - exchange.started_s
                        said.append(event.text)
                    elif isinstance(event, Finished):
                        exchange.strategy = event.strategy
        except (EngineError, BudgetExhausted) as failure:
            exchange.error = type(failure).__name__
        return "".join(said) or None


def load_pair(document: bytes) -> tuple[Trace, Trace]:
    """A response's JSON → the original and its replay."""
    pair = _pair.validate_json(document)
    return pair["original"], pair["replay"]


def _parsed(body: bytes) -> ReplayBody:
    try:
        return ReplayBody.model_validate(orjson.loads(body) if body.strip() else {})
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error.msg} at character {error.pos}") from None
    except ValidationError as error:
        raise invalid(error) from None


def _stored(trace: Trace) -> ChatRequest:
    if trace.request is None:
        raise InvalidRequest(
            f"trace {trace.trace_id} does not hold its request, so it can't run again: contents are kept only while "
            "the tenant's policy says so; turn ledger.keep_content on and ask anew"
        )
    return trace.request
