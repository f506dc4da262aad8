"""Input items of a response → the messages of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from appliance.domain.request import ChatMessage
from appliance.gateway.openai.body import Json
from appliance.gateway.openai.content import image_problem

_ROLES: Final = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_SHOWN_CHARS: Final = 40
_MOST_ITEMS: Final = 2_048

Turns = tuple[ChatMessage, ...]


def _turns(said: Any) -> Turns:
    """A text, or messages, calls of functions and their outputs, in their order. What was thought before is left out:
    models write their own working anew.
    """
    if isinstance(said, str):
        return (ChatMessage("user", said),)
    if not isinstance(said, list) or not said:
        raise _problem("expected a text or a list of items that is not empty", "")
    turns: list[ChatMessage] = []
    for index, item in enumerate(said):
        place = f"[{index}]"
        if not isinstance(item, dict):
            raise _problem("an item is an object", place)
        turns = _with(turns, item, place)
    if not turns:
        raise _problem("there is no message in it", "")
    return tuple(turns)


def _with(turns: list[ChatMessage], item: Json, place: str) -> list[ChatMessage]:
    match item.get("type", "message"):
        case "message":
            return [*turns, _message(item, place)]
        case "function_call":
            return _called(turns, item, place)
        case "function_call_output":
            text, _ = _content(item.get("output"), f"{place}.output", images=False)
            return [*turns, ChatMessage("tool", text, {"tool_call_id": _string(item, "call_id", place)})]
        case "reasoning":
            return turns
        case "item_reference":
            raise _problem("nothing is stored here, so items are sent whole", f"{place}.type")
    shown = str(item.get("type"))[:_SHOWN_CHARS]
    raise _problem(f"items of type {shown!r} are not supported", f"{place}.type")


def _message(item: Json, place: str) -> ChatMessage:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _problem("expected 'user', 'assistant', 'system' or 'developer'", f"{place}.role")
    text, parts = _content(item.get("content"), f"{place}.content", images=role == "user")
    return ChatMessage(_ROLES[role], text, parts=parts)


def _called(turns: list[ChatMessage], item: Json, place: str) -> list[ChatMessage]:
    """Calls that stand one after the other were made in one turn, with the text before them."""
    function = {"name": _string(item, "name", place), "arguments": _string(item, "arguments", place)}
    call = {"id": _string(item, "call_id", place), "type": "function", "function": function}
    if turns and turns[-1].role == "assistant":
        last = turns[-1]
        calls = [*last.extra.get("tool_calls", ()), call]
        return [*turns[:-1], ChatMessage("assistant", last.content, {"tool_calls": calls})]
    return [*turns, ChatMessage("assistant", "", {"tool_calls": [call]})]


def _content(said: Any, place: str, *, images: bool) -> tuple[str, tuple[Json, ...]]:
    """The text, and the parts where there are images among them."""
    if isinstance(said, str):
        return said, ()
    if not isinstance(said, list):
        raise _problem("expected a string or a list of parts", place)
    parts = [_part(part, f"{place}[{index}]", images=images) for index, part in enumerate(said)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text, () if all(part["type"] == "text" for part in parts) else tuple(parts)


def _part(part: Any, place: str, *, images: bool) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": part["refusal"]}
    if kind == "input_image" and images:
        url = part.get("image_url")
        problem = image_problem(url) if isinstance(url, str) else "an image needs the string `image_url`"
        if problem:
            raise _problem(problem, f"{place}.image_url")
        return {"type": "image_url", "image_url": {"url": url}}
    shown = str(kind)[:_SHOWN_CHARS]
    raise _problem(f"content of type {shown!r} is not supported here; send input_text with `text`", place)


def _string(item: Json, name: str, place: str) -> str:
    if not isinstance(item.get(name), str):
        raise _problem("expected a string", f"{place}.{name}")
    return str(item[name])


def _few(turns: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    if len(turns) > _MOST_ITEMS:
        raise PydanticCustomError("items", "more than {most} messages", {"most": _MOST_ITEMS})
    return turns


def _problem(message: str, below: str) -> PydanticCustomError:
    return PydanticCustomError("items", "{reason}", {"reason": message, "below": below})


_SCHEMA: Final = {
    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "object"}}],
    "description": "A text, or messages, function_call and function_call_output items",
}

InputTurns = Annotated[
    Any, BeforeValidator(_turns), AfterValidator(_few), WithJsonSchema(_SCHEMA), Field(description="The conversation")
]
"""`tuple[ChatMessage, ...]`."""
