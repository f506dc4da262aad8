"""Answer events folded into one `chat.completion` document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.domain.request import AnswerEvent, ContentDelta, Finished, ReasoningDelta
from appliance.gateway.openai.chunks import fan_out, relayed, usage


class CompletionFold:
    """Takes the events of one answer in order; `document` is the whole of it once Finished has come."""

    def __init__(self) -> None:
        self.finished: Finished | None = None
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[Any] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}

    def take(self, event: AnswerEvent) -> None:
        """Add one event."""
        match event:
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ContentDelta():
                self._take_content(event)
            case Finished():
                self.finished = event

    def document(self, *, completion_id: str, created_unix_s: int, model: str) -> dict[str, Any]:
        """The response body."""
        assert self.finished is not None, "a coordinator ends with Finished or raises"
        choice = {
            "index": 0,
            "message": self._message(),
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
            "finish_reason": self.finished.finish_reason,
        }
        return {
            "id": completion_id,
            "object": "chat.completion",
            "created": created_unix_s,
            "model": model,
            "choices": [choice],
            "usage": usage(self.finished.usage),
            "appliance": fan_out(self.finished),
        }

    def _message(self) -> dict[str, Any]:
        content = "".join(self._content)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._reasoning:
            message["reasoning"] = message["reasoning_content"] = "".join(self._reasoning)
        if self._tool_calls:
            message["content"] = content or None
            message["tool_calls"] = [call for _, call in sorted(self._tool_calls.items())]
        return message

    def _take_content(self, event: ContentDelta) -> None:
        delta = relayed(event)
        self._content.append(delta.get("content") or "")
        if working := delta.get("reasoning"):
            self._reasoning.append(working)
        for piece in delta.get("tool_calls") or ():
            self._take_tool_call(piece)
        if event.raw_logprobs is not None:
            self._logprobs.extend(event.raw_logprobs.get("content") or ())

    def _take_tool_call(self, piece: Mapping[str, Any]) -> None:
        """Streamed tool calls come in pieces that share an index; names and arguments grow."""
        empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self._tool_calls.setdefault(piece.get("index", 0), empty)
        call["id"] = call["id"] or piece.get("id") or ""
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
