"""Answers that are one document of the engine's, under our own id and with what they cost."""

from __future__ import annotations

from typing import Any

from appliance.domain.request import AnswerEvent, ContentDelta, Finished
from appliance.gateway.openai.chunks import fan_out, usage
from appliance.gateway.openai.intake import Labels


class RelayedFold:
    """Takes the engine's document, and the end. `prefix` begins its id; `bare`: it has none, and no usage."""

    def __init__(self, labels: Labels, *, prefix: str = "", bare: bool = False) -> None:
        self._labels = labels
        self._prefix = prefix
        self._bare = bare
        self._document: dict[str, Any] = {}
        self._finished: Finished | None = None

    def take(self, event: AnswerEvent) -> None:
        """Add one event."""
        if isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, ContentDelta) and event.raw_event is not None:
            self._document = dict(event.raw_event)

    def document(self) -> dict[str, Any]:
        """The response body."""
        assert self._finished is not None, "a coordinator ends with Finished or raises"
        if self._bare:
            return self._document
        return {
            **self._document,
            "id": self._labels.id(self._prefix),
            "created": self._labels.created_unix_s,
            "model": self._labels.model,
            "usage": usage(self._finished.usage),
            "appliance": fan_out(self._finished),
        }
