"""vLLM's streamed chat events → `CallChunk`s, and an `EngineCall` → the body that asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.domain.endpoint import Endpoint
from appliance.domain.engine import EngineStatus
from appliance.domain.request import CallChunk, CallContext, EngineCall, TokenLogprob, Usage

_PLAIN_DELTA = frozenset({"role", "content"})


def body_of(engine: EngineStatus, call: EngineCall, ctx: CallContext) -> dict[str, Any]:
    """The body of one call, streaming where its endpoint does. vLLM refuses an empty `cache_salt`: it is left out."""
    body: dict[str, Any] = {**call.params, **call.inputs, "model": engine.model_id}
    if call.endpoint is Endpoint.CHAT:
        body["messages"] = [dict(message) for message in call.messages]
    if call.streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if call.max_tokens is not None and call.endpoint.streamed:
        body["max_tokens"] = call.max_tokens
    if not call.endpoint.scheduled:
        return body
    if ctx.priority:
        body["priority"] = ctx.priority
    if ctx.cache_salt:
        body["cache_salt"] = ctx.cache_salt
    return body


def chunk_of(event: Mapping[str, Any], engine_id: str) -> CallChunk | None:
    """One event as a chunk; None when it says nothing (the opening role). KeyError, TypeError, … on a wrong shape."""
    usage = usage_of(event.get("usage"))
    choices = event["choices"]
    if not choices:
        return CallChunk(usage=usage, engine_id=engine_id) if usage else None
    choice = choices[0]
    delta = choice.get("delta") or {}
    raw_logprobs = choice.get("logprobs")
    telling = any(value is not None for key, value in delta.items() if key not in _PLAIN_DELTA)
    chunk = CallChunk(
        text=delta.get("content") or "",
        reasoning=delta.get("reasoning") or delta.get("reasoning_content") or "",
        logprobs=logprobs_of(raw_logprobs),
        finish_reason=choice.get("finish_reason"),
        usage=usage,
        engine_id=engine_id,
        raw_delta=delta if telling else None,
        raw_logprobs=raw_logprobs,
        index=choice.get("index") or 0,
    )
    silent = not (chunk.text or chunk.reasoning or chunk.logprobs or telling)
    return None if silent and chunk.finish_reason is None and usage is None else chunk


def text_chunk_of(event: Mapping[str, Any], engine_id: str) -> CallChunk | None:
    """One event of a text completion, which is relayed as it came. Raises as `chunk_of`."""
    usage = usage_of(event.get("usage"))
    choices = event["choices"]
    if not choices:
        return CallChunk(usage=usage, engine_id=engine_id) if usage else None
    choice = choices[0]
    return CallChunk(
        text=choice["text"],
        finish_reason=choice.get("finish_reason"),
        usage=usage,
        engine_id=engine_id,
        index=choice.get("index") or 0,
        raw_event=event,
    )


def whole_chunk_of(document: Mapping[str, Any], endpoint: Endpoint, engine_id: str) -> CallChunk:
    """The one chunk of an answer that is no stream; what only asks the tokenizer uses no tokens."""
    usage = usage_of(document.get("usage")) if endpoint.scheduled else Usage()
    return CallChunk(finish_reason="stop", usage=usage, engine_id=engine_id, raw_event=document)


def usage_of(usage: Mapping[str, Any] | None) -> Usage | None:
    """vLLM's usage object."""
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=details.get("cached_tokens") or 0,
    )


def logprobs_of(logprobs: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...]:
    """The tokens of a choice's `logprobs`, each with its strongest alternatives (itself included, as vLLM has it)."""
    return tuple(
        TokenLogprob(
            token=entry["token"],
            logprob=entry["logprob"],
            alternatives={top["token"]: top["logprob"] for top in entry.get("top_logprobs") or ()},
        )
        for entry in (logprobs or {}).get("content") or ()
    )
