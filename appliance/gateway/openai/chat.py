"""`POST /v1/chat/completions`: check the body, hand it to the coordinator, send its events."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from appliance.domain.request import Origin
from appliance.gateway import exchange as exchanges
from appliance.gateway.openai.answers import Answerer, Labels, StreamedAnswer, WholeAnswer
from appliance.gateway.openai.schema import ChatCompletionBody, parse


def router(answerer: Answerer, keep_alive_s: float) -> APIRouter:
    """The chat route around one coordinator. A stream that is silent for `keep_alive_s` gets a comment."""
    routes = APIRouter(tags=["chat"])

    @routes.post("/v1/chat/completions", response_class=Response, openapi_extra=documented())
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, streamed or whole."""
        body = parse(await request.body())
        exchange = exchanges.of(request.scope)
        assert exchange.tenant is not None, "authentication comes before routing"
        exchange.headers.append((b"x-trace-id", exchange.trace_id.encode()))
        labels = Labels(f"chatcmpl-{exchange.trace_id}", int(time.time()), body.model)
        events = answerer.answer(
            body.to_domain(),
            request_id=exchange.request_id,
            trace_id=exchange.trace_id,
            tenant=exchange.tenant,
            origin=Origin(exchange.traceparent),
        )
        if body.stream:
            return StreamedAnswer(events, labels, include_usage=body.include_usage, keep_alive_s=keep_alive_s)
        return WholeAnswer(events, labels)

    return routes


def documented() -> dict[str, Any]:
    """The body's schema for the OpenAPI document; the body itself is parsed by hand, for OpenAI's error shape."""
    schema = ChatCompletionBody.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    inlined = _inline(schema, definitions)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined}}}}


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    """References → what they refer to, since a route can't add components."""
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inline(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    return node
