"""Answer events → the bytes of `chat.completion.chunk` server-sent events, one JSON dump of the delta each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from appliance.domain.request import ContentDelta, Finished, ReasoningDelta, Usage
from appliance.gateway.error_responses import ErrorAnswer

DONE: Final = b"data: [DONE]\n\n"


class ChunkWriter:
    """Builds the chunks of one answer around a prefix that is the same for all of them."""

    def __init__(self, *, completion_id: str, created_unix_s: int, model: str) -> None:
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created_unix_s, "model": model}
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._delta = self._head + b',"choices":[{"index":0,"delta":'

    def role(self) -> bytes:
        """The first chunk: who speaks."""
        return self._choice({"role": "assistant", "content": ""})

    def reasoning(self, event: ReasoningDelta) -> bytes:
        """Working, under vLLM's name for it and under the one that older clients read."""
        return self._choice({"reasoning": event.text, "reasoning_content": event.text})

    def content(self, event: ContentDelta) -> bytes:
        """A piece of the answer; the engine's own delta as it came, where there is one."""
        if event.raw_delta is None and event.raw_logprobs is None:
            return self._choice({"content": event.text})
        return self._choice(relayed(event), event.raw_logprobs)

    def finish(self, event: Finished) -> bytes:
        """The chunk that says why the answer ended."""
        return self._delta + b'{},"logprobs":null,"finish_reason":' + orjson.dumps(event.finish_reason) + b"}]}\n\n"

    def usage(self, event: Finished) -> bytes:
        """The last chunk: what the answer cost."""
        tail = {"choices": [], "usage": usage(event.usage), "appliance": fan_out(event)}
        return self._head + b"," + orjson.dumps(tail)[1:] + b"\n\n"

    def error(self, answer: ErrorAnswer) -> bytes:
        """An error after the first byte."""
        return b"data: " + orjson.dumps(answer.body()) + b"\n\n"

    def _choice(self, delta: Mapping[str, Any], logprobs: Mapping[str, Any] | None = None) -> bytes:
        said = b"null" if logprobs is None else orjson.dumps(dict(logprobs))
        return self._delta + orjson.dumps(delta) + b',"logprobs":' + said + b',"finish_reason":null}]}\n\n'


def relayed(event: ContentDelta) -> dict[str, Any]:
    """The engine's delta for a client: without the role (it was said once), reasoning under both names."""
    if event.raw_delta is None:
        return {"content": event.text}
    delta = {key: value for key, value in event.raw_delta.items() if key != "role"}
    working = delta.get("reasoning") or delta.get("reasoning_content")
    if working:
        delta["reasoning"] = delta["reasoning_content"] = working
    return delta


def usage(spent: Usage) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.total_tokens,
        "prompt_tokens_details": {"cached_tokens": spent.cached_tokens},
    }


def fan_out(event: Finished) -> dict[str, Any]:
    """What OpenAI has no words for: the strategy, the trace, and who used what."""
    return {
        "trace_id": event.trace_id,
        "strategy": event.strategy,
        "calls": event.calls,
        "gpu_s": round(event.gpu_s, 6),
        "reduced": [{"step": left.step, "reason": left.reason} for left in event.reduced],
        "usage_by_role": _receipts(event.usage_by_role, event.gpu_s_by_role),
        "usage_by_model": _receipts(event.usage_by_model, event.gpu_s_by_model),
    }


def _receipts(spent: Mapping[str, Usage], gpu_s: Mapping[str, float]) -> dict[str, Any]:
    """Usage of each, and the device-seconds that it was charged."""
    return {name: {**usage(used), "gpu_s": round(gpu_s.get(name, 0.0), 6)} for name, used in spent.items()}
