"""What one caller asks: one request, or several turns of which each follows the answer before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`turns` are the messages that each request adds; `think_s` passes between an answer and the next turn.

    `fields` are those of the request's body beside model and messages.
    """

    kind: str
    model: str
    turns: tuple[tuple[Message, ...], ...]
    orchestrated: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    think_s: float = 0.0

    def body(self, messages: Sequence[Message]) -> bytes:
        """The body of one request. A stream is asked to tell its usage at its end."""
        document: dict[str, Any] = {"model": self.model, "messages": list(messages), **self.fields}
        if self.stream:
            document |= {"stream": True, "stream_options": {"include_usage": True}}
        return orjson.dumps(document)


class Dialogues(Protocol):
    """Where dialogues come from."""

    def dialogue(self, index: int) -> Dialogue:
        """The one of this number, the same each time."""


@dataclass(frozen=True, slots=True)
class OpenPhase:
    """Dialogues begin at `dues_s`, whatever else is under way. Times are seconds from the begin of the run."""

    name: str
    begins_s: float
    ends_s: float
    dues_s: tuple[float, ...]
    counts: bool = True
    """False: a warm-up."""


@dataclass(frozen=True, slots=True)
class ClosedPhase:
    """So many callers who each begin the next dialogue `think_s` after the end of the one before."""

    name: str
    begins_s: float
    ends_s: float
    users: int
    think_s: float = 0.0
    counts: bool = True


Phase = OpenPhase | ClosedPhase
