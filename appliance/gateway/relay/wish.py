"""What a request's body asks for, where the fast path understands all of it; else None, and the ordinary route answers.

Nothing is refused here, so there is one place for errors. Simple fields are checked by hand, which takes a
microsecond; a body with any other known field is checked as the ordinary route does it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from appliance.errors import RequestError

CHAT: Final = "/v1/chat/completions"
TEXT: Final = "/v1/completions"

_CHARS_PER_TOKEN: Final = 2
_TOKENS_PER_MESSAGE: Final = 8
_MOST_MESSAGES: Final = 2_048
_ROLES: Final = frozenset({"system", "user", "assistant"})
_PLAIN_MESSAGE: Final = frozenset({"role", "content"})

FullCheck = Callable[[bytes], object]
"""Checks the body of a chat as the ordinary route does; raises RequestError."""


def _number(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: value is None or (type(value) in (int, float) and least <= value <= most)


def _count(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: value is None or (type(value) is int and least <= value <= most)


def _stops(value: Any) -> bool:
    if value is None or (isinstance(value, str) and 1 <= len(value) <= 1_000):
        return True
    return isinstance(value, list) and len(value) <= 16 and all(isinstance(stop, str) and stop for stop in value)


def _flag(value: Any) -> bool:
    return value is None or value is True or value is False


_SIMPLE: Final[Mapping[str, Callable[[Any], bool]]] = {
    "cache_salt": lambda value: value is None or isinstance(value, str),
    "max_tokens": _count(1, 10_000_000),
    "temperature": _number(0, 2),
    "stream": _flag,
    "top_p": lambda value: value is None or (type(value) in (int, float) and 0 < value <= 1),
    "stop": _stops,
    "seed": _count(-(2**63), 2**63 - 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "top_k": _count(-1, 2**31),
    "min_p": _number(0, 1),
}
"""Fields of both endpoints that mean the same to the engine. The salt is replaced by the tenant's."""

_COMPLEX: Final = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "response_format", "structured_outputs", "logprobs"}
    | {"top_logprobs", "logit_bias", "reasoning_effort", "min_tokens", "repetition_penalty", "stop_token_ids"}
    | {"skip_special_tokens", "chat_template_kwargs", "bad_words", "ignore_eos", "include_stop_str_in_output"}
    | {"add_generation_prompt", "continue_final_message"}
)
"""Further fields of chats that go to the engine as they are, once the ordinary check has passed them."""

_KEPT_HERE: Final = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Fields that the ordinary route takes and no engine is told."""


_ELSEWHERE: Final = frozenset({"model", "messages", "stream_options", "n"})
_ELSEWHERE_OF_TEXT: Final = frozenset({"model", "prompt", "stream_options", "n"})


@dataclass(slots=True)
class Wish:
    """A request that one engine answers. `down` is the body for it, without what the appliance adds.

    `choices` are wanted. `keeps_usage`: the caller asked for the usage at the end of the stream.
    """

    model: str
    down: dict[str, Any]
    streamed: bool
    keeps_usage: bool
    max_tokens: int | None
    prompt_tokens_estimate: int
    choices: int = 1


@dataclass(frozen=True, slots=True)
class Understood:
    """What is taken: models by name, answers at once, and any other body of a chat that passes the full check."""

    models: Collection[str]
    choices: int
    full_check: FullCheck


def wish_of(path: str, body: bytes, understood: Understood) -> Wish | None:
    """What the body asks for, or None where any of it is not certainly understood."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(said) is not dict:
        return None
    model = said.get("model")
    if type(model) is not str or model not in understood.models:
        return None
    choices = said.get("n")
    if choices is not None and not (type(choices) is int and 1 <= choices <= understood.choices):
        return None
    return _chat(said, body, understood.full_check) if path == CHAT else _text(said)


def _chat(said: dict[str, Any], body: bytes, full_check: FullCheck) -> Wish | None:
    estimate, plain = _messages(said.get("messages")), True
    dropped = []
    for name, value in said.items():
        check = _SIMPLE.get(name)
        if check is not None:
            if not check(value):
                return None
        elif name in _COMPLEX or name in _KEPT_HERE:
            plain = False
            if name in _KEPT_HERE:
                dropped.append(name)
        elif name == "max_completion_tokens":
            if not _SIMPLE["max_tokens"](value):
                return None
        elif name not in _ELSEWHERE:
            return None
    if estimate is None or not plain:
        estimate = _fully_checked(said, body, full_check)
        if estimate is None:
            return None
        for name in dropped:
            del said[name]
    return _wish(said, said.get("max_completion_tokens") or said.get("max_tokens"), estimate)


def _text(said: dict[str, Any]) -> Wish | None:
    prompt = said.get("prompt")
    if type(prompt) is not str or not prompt:
        return None
    for name, value in said.items():
        check = _SIMPLE.get(name)
        if check is None:
            if name not in _ELSEWHERE_OF_TEXT:
                return None
        elif not check(value):
            return None
    return _wish(said, said.get("max_tokens"), -(-len(prompt) // _CHARS_PER_TOKEN))


def _wish(said: dict[str, Any], max_tokens: int | None, estimate: int) -> Wish | None:
    streamed, options = bool(said.get("stream")), said.get("stream_options")
    keeps_usage = False
    if options is not None:
        if not streamed or type(options) is not dict or options.keys() - {"include_usage"}:
            return None
        if not _flag(options.get("include_usage")):
            return None
        keeps_usage = bool(options.get("include_usage"))
    if streamed:
        said["stream_options"] = {"include_usage": True}
    return Wish(said["model"], said, streamed, keeps_usage, max_tokens, estimate, said.get("n") or 1)


def _messages(messages: Any) -> int | None:
    """A guess at the prompt's tokens, on the high side; None where a message is more than a role and a text."""
    if type(messages) is not list or not 1 <= len(messages) <= _MOST_MESSAGES:
        return None
    chars = 0
    for message in messages:
        if type(message) is not dict or len(message) != 2 or message.keys() != _PLAIN_MESSAGE:
            return None
        content = message["content"]
        if type(content) is not str or message["role"] not in _ROLES:
            return None
        chars += len(content)
    return _TOKENS_PER_MESSAGE * len(messages) + -(-chars // _CHARS_PER_TOKEN)


_FULL_MESSAGE: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})


def _fully_checked(said: dict[str, Any], body: bytes, full_check: FullCheck) -> int | None:
    """The guess for a body that only the ordinary check understands; None where it refuses, or rewrites it."""
    try:
        full_check(body)
    except RequestError:
        return None
    chars = len(orjson.dumps(said["tools"])) if said.get("tools") else 0
    for message in said["messages"]:
        if message.keys() - _FULL_MESSAGE or not isinstance(message.get("content"), str | None):
            return None
        if message["role"] == "developer":
            message["role"] = "system"
        chars += len(message.get("content") or "")
        if message.get("tool_calls"):
            chars += len(orjson.dumps(message["tool_calls"]))
    return _TOKENS_PER_MESSAGE * len(said["messages"]) + -(-chars // _CHARS_PER_TOKEN)
