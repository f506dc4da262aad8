"""Answer events → the output items of a response, each change told as the event that a stream sends for it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.domain.request import AnswerEvent, ContentDelta, Finished, ReasoningDelta
from appliance.gateway.openai.body import Json
from appliance.gateway.openai.chunks import relayed

Event = tuple[str, Json]
"""Type, and what it says besides type and number."""

_CUT = "length"


@dataclass(slots=True)
class _Open:
    """The item that is being said: a message, reasoning, or a call of a function."""

    kind: str
    item_id: str
    text: list[str] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    call_id: str = ""
    name: str = ""
    call_index: int = -1

    def item(self, status: str) -> Json:
        """As it stands now."""
        text = "".join(self.text)
        said: Json = {"id": self.item_id, "type": self.kind, "status": status}
        if self.kind == "message":
            content = [] if status == "in_progress" else [self.part()]
            return {**said, "role": "assistant", "content": content}
        if self.kind == "reasoning":
            content = [] if status == "in_progress" else [self.part()]
            return {**said, "summary": [], "content": content}
        return {**said, "call_id": self.call_id, "name": self.name, "arguments": text}

    def part(self) -> Json:
        """Its content."""
        text = "".join(self.text)
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self.logprobs)}


class OutputItems:
    """Takes the events of one answer in order; `done` are the items that are whole. Ids begin with `number`."""

    def __init__(self, number: str) -> None:
        self._number = number
        self.done: list[Json] = []
        self._open: _Open | None = None

    def take(self, event: AnswerEvent) -> Iterator[Event]:
        """What a stream tells of one event."""
        match event:
            case ReasoningDelta():
                yield from self._think(event.text)
            case ContentDelta():
                yield from self._content(event)
            case Finished():
                yield from self.close("incomplete" if event.finish_reason == _CUT else "completed")

    def close(self, status: str = "completed") -> Iterator[Event]:
        """The open item is whole."""
        item, self._open = self._open, None
        if item is None:
            return
        place = {"item_id": item.item_id, "output_index": len(self.done)}
        text = "".join(item.text)
        if item.kind == "function_call":
            yield "response.function_call_arguments.done", {**place, "name": item.name, "arguments": text}
        elif item.kind == "reasoning":
            yield "response.reasoning_text.done", {**place, "content_index": 0, "text": text}
            yield "response.content_part.done", {**place, "content_index": 0, "part": item.part()}
        else:
            said = {**place, "content_index": 0, "text": text, "logprobs": list(item.logprobs)}
            yield "response.output_text.done", said
            yield "response.content_part.done", {**place, "content_index": 0, "part": item.part()}
        whole = item.item(status)
        yield "response.output_item.done", {"output_index": len(self.done), "item": whole}
        self.done.append(whole)

    def _content(self, event: ContentDelta) -> Iterator[Event]:
        delta = relayed(event)
        if working := delta.get("reasoning"):
            yield from self._think(working)
        logprobs = [_logprob(entry) for entry in (event.raw_logprobs or {}).get("content") or ()]
        if delta.get("content") or logprobs:
            yield from self._speak(delta.get("content") or "", logprobs)
        for piece in delta.get("tool_calls") or ():
            yield from self._call(piece)

    def _think(self, text: str) -> Iterator[Event]:
        item = yield from self._opened("reasoning", "rs")
        item.text.append(text)
        place = {"item_id": item.item_id, "output_index": len(self.done), "content_index": 0}
        yield "response.reasoning_text.delta", {**place, "delta": text}

    def _speak(self, text: str, logprobs: list[Json]) -> Iterator[Event]:
        item = yield from self._opened("message", "msg")
        item.text.append(text)
        item.logprobs.extend(logprobs)
        place = {"item_id": item.item_id, "output_index": len(self.done), "content_index": 0}
        yield "response.output_text.delta", {**place, "delta": text, "logprobs": logprobs}

    def _call(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        """Pieces of one call share an index; the first one names the function."""
        function, index = piece.get("function") or {}, piece.get("index", 0)
        item = self._open
        if item is None or item.call_index != index:
            yield from self.close()
            item = self._open = _Open("function_call", self._id("fc"), call_index=index)
            item.call_id, item.name = piece.get("id") or item.item_id, function.get("name") or ""
            yield "response.output_item.added", {"output_index": len(self.done), "item": item.item("in_progress")}
        if arguments := function.get("arguments"):
            item.text.append(arguments)
            place = {"item_id": item.item_id, "output_index": len(self.done)}
            yield "response.function_call_arguments.delta", {**place, "delta": arguments}

    def _opened(self, kind: str, prefix: str) -> Generator[Event, None, _Open]:
        """The open item of this kind; another one is closed before it begins."""
        if self._open is not None and self._open.kind == kind:
            return self._open
        yield from self.close()
        item = self._open = _Open(kind, self._id(prefix))
        place = {"item_id": item.item_id, "output_index": len(self.done), "content_index": 0}
        yield "response.output_item.added", {"output_index": len(self.done), "item": item.item("in_progress")}
        yield "response.content_part.added", {**place, "part": item.part()}
        return item

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._number}{len(self.done):02x}"


def _logprob(entry: Mapping[str, Any]) -> Json:
    """The same fields, under the same names, without what an engine adds."""
    names = ("token", "logprob", "bytes")
    top = [{name: one.get(name) for name in names} for one in entry.get("top_logprobs") or ()]
    return {**{name: entry.get(name) for name in names}, "top_logprobs": top}
