"""Answer events of a text completion → its events or its document: the engine's choices, under our own name and id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from appliance.domain.request import AnswerEvent, ContentDelta, Finished
from appliance.gateway.error_responses import ErrorAnswer
from appliance.gateway.openai.chunks import DONE, fan_out, usage
from appliance.gateway.openai.intake import Labels

_LISTS = ("token_ids", "prompt_token_ids")
_OBJECT = "text_completion"


def _head(labels: Labels) -> dict[str, Any]:
    return {
        "id": labels.id("cmpl"),
        "object": _OBJECT,
        "created": labels.created_unix_s,
        "model": labels.model,
    }


class TextWriter:
    """Builds the events of one stream."""

    def __init__(self, labels: Labels, *, include_usage: bool) -> None:
        self._head = b"data: " + orjson.dumps(_head(labels))[:-1] + b',"choices":'
        self._include_usage = include_usage

    def opening(self) -> bytes:
        """Nothing: a text has no speaker."""
        return b""

    def event(self, event: AnswerEvent) -> bytes:
        """The engine's choices as they came; at the end what they cost, if the caller wants to know."""
        if isinstance(event, ContentDelta) and event.raw_event is not None:
            return self._head + orjson.dumps(event.raw_event["choices"]) + b"}\n\n"
        if isinstance(event, Finished) and self._include_usage:
            tail = {"usage": usage(event.usage), "appliance": fan_out(event)}
            return self._head + b"[]," + orjson.dumps(tail)[1:] + b"\n\n"
        return b""

    def failed(self, answer: ErrorAnswer) -> bytes:
        """An error after the first byte."""
        return b"data: " + orjson.dumps(answer.body()) + b"\n\n"

    def closing(self) -> bytes:
        """OpenAI's last word."""
        return DONE


class TextFold:
    """Adds up the engine's events, choice by choice."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._choices: dict[int, dict[str, Any]] = {}
        self._finished: Finished | None = None

    def take(self, event: AnswerEvent) -> None:
        """Add one event."""
        if isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, ContentDelta) and event.raw_event is not None:
            for piece in event.raw_event["choices"]:
                self._add(piece)

    def document(self) -> dict[str, Any]:
        """The response body."""
        assert self._finished is not None, "a coordinator ends with Finished or raises"
        return {
            **_head(self._labels),
            "choices": [choice for _, choice in sorted(self._choices.items())],
            "usage": usage(self._finished.usage),
            "appliance": fan_out(self._finished),
        }

    def _add(self, piece: Mapping[str, Any]) -> None:
        """Texts and lists grow, logprobs grow list by list, of all else the last word counts."""
        index = piece.get("index") or 0
        choice = self._choices.setdefault(index, {"index": index, "text": "", "logprobs": None, "finish_reason": None})
        for name, value in piece.items():
            if value is None:
                continue
            if name == "text":
                choice["text"] += value
            elif name == "logprobs":
                choice["logprobs"] = _longer(choice["logprobs"] or {}, value)
            elif name in _LISTS:
                choice[name] = [*choice.get(name, ()), *value]
            else:
                choice[name] = value


def _longer(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`tokens`, `token_logprobs`, `top_logprobs` and `text_offset`, each with what came."""
    return {name: [*(known.get(name) or ()), *(values or ())] for name, values in more.items()}
