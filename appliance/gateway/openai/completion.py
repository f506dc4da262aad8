"""Answer events folded into one `chat.completion` document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.domain.request import AnswerEvent, ContentDelta, Finished, ReasoningDelta
from appliance.gateway.openai.chunks import fan_out, finish_reason, relayed, usage
from appliance.gateway.openai.intake import Labels


@dataclass(slots=True)
class ChoiceFold:
    """One choice, in pieces."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    tool_calls: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, event: ContentDelta) -> None:
        """A piece of the answer."""
        delta = relayed(event)
        self.content.append(delta.get("content") or "")
        if working := delta.get("reasoning"):
            self.reasoning.append(working)
        for piece in delta.get("tool_calls") or ():
            self._take_tool_call(piece)
        if event.raw_logprobs is not None:
            self.logprobs.extend(event.raw_logprobs.get("content") or ())

    def message(self) -> dict[str, Any]:
        """What was said."""
        content = "".join(self.content)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.reasoning:
            message["reasoning"] = message["reasoning_content"] = "".join(self.reasoning)
        if self.tool_calls:
            message["content"] = content or None
            message["tool_calls"] = [call for _, call in sorted(self.tool_calls.items())]
        return message

    def _take_tool_call(self, piece: Mapping[str, Any]) -> None:
        """Streamed tool calls come in pieces that share an index; names and arguments grow."""
        empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self.tool_calls.setdefault(piece.get("index", 0), empty)
        call["id"] = call["id"] or piece.get("id") or ""
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


class CompletionFold:
    """Takes the events of one answer in order; `document` is the whole of it once Finished has come."""

    def __init__(self, labels: Labels, *, choices: int = 1) -> None:
        self._labels = labels
        self._choices = [ChoiceFold() for _ in range(choices)]
        self._finished: Finished | None = None

    def take(self, event: AnswerEvent) -> None:
        """Add one event."""
        match event:
            case ReasoningDelta():
                self._choices[event.index].reasoning.append(event.text)
            case ContentDelta():
                self._choices[event.index].take(event)
            case Finished():
                self._finished = event

    def document(self) -> dict[str, Any]:
        """The response body."""
        assert self._finished is not None, "a coordinator ends with Finished or raises"
        labels, finished = self._labels, self._finished
        return {
            "id": labels.id("chatcmpl"),
            "object": "chat.completion",
            "created": labels.created_unix_s,
            "model": labels.model,
            "choices": [
                {
                    "index": index,
                    "message": choice.message(),
                    "logprobs": {"content": choice.logprobs} if choice.logprobs else None,
                    "finish_reason": finish_reason(finished, index),
                }
                for index, choice in enumerate(self._choices)
            ],
            "usage": usage(finished.usage),
            "appliance": fan_out(finished),
        }
