"""Answer events → a response, whole or as OpenAI's typed events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import orjson

from appliance.domain.request import AnswerEvent, Finished
from appliance.gateway.error_responses import ErrorAnswer
from appliance.gateway.openai.body import Json
from appliance.gateway.openai.chunks import fan_out
from appliance.gateway.openai.intake import Labels
from appliance.gateway.openai.responses.body import ResponseBody
from appliance.gateway.openai.responses.items import Event, OutputItems


class ResponseFold:
    """Takes the events of one answer in order; `document` is the response."""

    def __init__(self, labels: Labels, *, asked: ResponseBody) -> None:
        self._labels = labels
        self._asked = asked
        self.items = OutputItems(labels.trace_id)
        self.finished: Finished | None = None

    def take(self, event: AnswerEvent) -> None:
        """Add one event."""
        for _ in self.items.take(event):
            pass
        self.note(event)

    def note(self, event: AnswerEvent) -> None:
        """Keep the end."""
        if isinstance(event, Finished):
            self.finished = event

    def document(self, failure: ErrorAnswer | None = None) -> dict[str, Any]:
        """The response as it stands now."""
        finished, status = self.finished, self._status(failure)
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self._labels.id("resp").replace("-", "_", 1),
            "object": "response",
            "created_at": self._labels.created_unix_s,
            "completed_at": int(time.time()) if finished is not None else None,
            "status": status,
            "error": None if failure is None else {"code": "server_error", "message": failure.message},
            "incomplete_details": cut,
            "output": list(self.items.done),
            "usage": None if finished is None else _usage(finished),
            **self._echo(),
            **({} if finished is None else {"appliance": fan_out(finished)}),
        }

    def _status(self, failure: ErrorAnswer | None) -> str:
        if failure is not None:
            return "failed"
        if self.finished is None:
            return "in_progress"
        return "incomplete" if self.finished.finish_reason == "length" else "completed"

    def _echo(self) -> Json:
        """What was asked for, as it was understood."""
        asked = self._asked
        return {
            "model": self._labels.model,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata or {},
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "background": False,
            "store": False,
            "temperature": asked.temperature,
            "text": _text(asked),
            "tool_choice": _tool_choice(asked.tool_choice),
            "tools": [{"strict": None, "parameters": None, **tool.model_dump()} for tool in asked.tools or ()],
            "top_p": asked.top_p,
            "truncation": "disabled",
            "user": asked.user,
        }


class ResponseWriter:
    """Builds the typed events of one stream; they are numbered."""

    def __init__(self, labels: Labels, *, asked: ResponseBody) -> None:
        self._fold = ResponseFold(labels, asked=asked)
        self._number = -1

    def opening(self) -> bytes:
        """There will be a response, and it is being made."""
        document = {"response": self._fold.document()}
        return self._written((("response.created", document), ("response.in_progress", document)))

    def event(self, event: AnswerEvent) -> bytes:
        """A piece of it, or its end."""
        said = self._written(self._fold.items.take(event))
        self._fold.note(event)
        if not isinstance(event, Finished):
            return said
        document = self._fold.document()
        return said + self._written(((f"response.{document['status']}", {"response": document}),))

    def failed(self, answer: ErrorAnswer) -> bytes:
        """An error after the first byte."""
        said = {"code": answer.code, "message": answer.message, "param": answer.param}
        events = [*self._fold.items.close("incomplete"), ("error", said)]
        return self._written((*events, ("response.failed", {"response": self._fold.document(answer)})))

    def closing(self) -> bytes:
        """Nothing: the last event has said that it is the last."""
        return b""

    def _written(self, events: Iterable[Event]) -> bytes:
        written = []
        for kind, said in events:
            self._number += 1
            data = orjson.dumps({"type": kind, "sequence_number": self._number, **said})
            written.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")
        return b"".join(written)


def _usage(finished: Finished) -> Json:
    spent = finished.usage
    return {
        "input_tokens": spent.prompt_tokens,
        "input_tokens_details": {"cached_tokens": spent.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": spent.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": spent.total_tokens,
    }


def _text(asked: ResponseBody) -> Json:
    said = asked.text.format if asked.text else None
    form: Json = {"type": "text"} if said is None else said.model_dump(by_alias=True, exclude_none=True)
    return {"format": form}


def _tool_choice(said: Any) -> Any:
    if isinstance(said, dict):
        return {"type": "function", "name": said["function"]["name"]}
    return said or "auto"
