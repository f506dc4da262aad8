"""Answer events → the bytes of `chat.completion.chunk` server-sent events, one JSON dump of the delta each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from appliance.domain.request import AnswerEvent, ContentDelta, Finished, ReasoningDelta, Usage
from appliance.gateway.error_responses import ErrorAnswer
from appliance.gateway.openai.intake import Labels

DONE: Final = b"data: [DONE]\n\n"


class ChunkWriter:
    """Builds the chunks of one answer around a prefix that is the same for all of them.

    `choices` were asked for; `include_usage` ends the stream with what it cost.
    """

    def __init__(self, labels: Labels, *, choices: int = 1, include_usage: bool = False) -> None:
        head = {
            "id": labels.id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": labels.created_unix_s,
            "model": labels.model,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._deltas = [self._head + b',"choices":[{"index":%d,"delta":' % index for index in range(choices)]
        self._include_usage = include_usage

    def opening(self) -> bytes:
        """The first chunk of each choice: who speaks."""
        role = {"role": "assistant", "content": ""}
        return b"".join(self._choice(index, role) for index in range(len(self._deltas)))

    def event(self, event: AnswerEvent) -> bytes:
        """A piece of working or of the answer, or its end."""
        match event:
            case ReasoningDelta():
                # Under vLLM's name for it and under the one that older clients read.
                return self._choice(event.index, {"reasoning": event.text, "reasoning_content": event.text})
            case ContentDelta():
                return self._content(event)
            case Finished():
                return self._finish(event) + (self._usage(event) if self._include_usage else b"")

    def failed(self, answer: ErrorAnswer) -> bytes:
        """An error after the first byte."""
        return b"data: " + orjson.dumps(answer.body()) + b"\n\n"

    def closing(self) -> bytes:
        """OpenAI's last word."""
        return DONE

    def _content(self, event: ContentDelta) -> bytes:
        """The engine's own delta as it came, where there is one."""
        if event.raw_delta is None and event.raw_logprobs is None:
            return self._choice(event.index, {"content": event.text})
        return self._choice(event.index, relayed(event), event.raw_logprobs)

    def _finish(self, event: Finished) -> bytes:
        """Why each choice ended."""
        return b"".join(
            delta + b'{},"logprobs":null,"finish_reason":' + orjson.dumps(finish_reason(event, index)) + b"}]}\n\n"
            for index, delta in enumerate(self._deltas)
        )

    def _usage(self, event: Finished) -> bytes:
        """The last chunk: what the answer cost."""
        tail = {"choices": [], "usage": usage(event.usage), "appliance": fan_out(event)}
        return self._head + b"," + orjson.dumps(tail)[1:] + b"\n\n"

    def _choice(self, index: int, delta: Mapping[str, Any], logprobs: Mapping[str, Any] | None = None) -> bytes:
        said = b"null" if logprobs is None else orjson.dumps(dict(logprobs))
        return self._deltas[index] + orjson.dumps(delta) + b',"logprobs":' + said + b',"finish_reason":null}]}\n\n'


def finish_reason(event: Finished, index: int) -> str:
    """Why a choice ended."""
    return event.finish_reasons.get(index, event.finish_reason)


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
