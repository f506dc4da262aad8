"""What the fake vLLM server says and how it misbehaves: answers, scripts and faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Body = Mapping[str, Any]
"""The JSON body of a request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `pieces` are its tokens (default: `text` cut at word boundaries).

    `alternatives` maps a token (stripped) to the log probabilities of its rivals, and `logprobs` maps it to its own
    (default -0.01): `Answer("… pass", logprobs={"pass": -0.1}, alternatives={"pass": {"fail": -2.3}})`.
    `delta` is merged into the first content delta (tool calls, reasoning_content); `deltas` are streamed, one a chunk,
    in the place of the text.
    """

    text: str
    pieces: tuple[str, ...] = ()
    finish_reason: str = "stop"
    logprobs: Mapping[str, float] = field(default_factory=dict)
    alternatives: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    delta: Mapping[str, Any] = field(default_factory=dict)
    deltas: tuple[Mapping[str, Any], ...] = ()
    prompt_tokens: int | None = None

    def tokens(self) -> tuple[str, ...]:
        """The pieces that are streamed one by one."""
        return self.pieces or tuple(re.findall(r"\s*\w+|\s*[^\w\s]|\s+", self.text))


Reply = str | Answer
Script = Callable[[Body], Reply] | Mapping[str, Reply | Sequence[Reply]]
"""A function of the body, or prompt → answer (or a list of answers, given one after the other; the last one stays).

A mapping is searched with the last message's content: first for the exact text, then for the longest key that is part
of it, then for "*". Nothing found: the prompt is echoed.
"""


class FaultKind(StrEnum):
    """Ways to misbehave."""

    HTTP = "http"
    """Answer with HTTP `status` and vLLM's error body."""
    RESET = "reset"
    """Cut the connection without a word; after `after_tokens` tokens when streaming."""
    HANG = "hang"
    """Never answer; when streaming, send `after_tokens` tokens first."""
    SLOW = "slow"
    """Wait `delay_s` before every token."""
    TRUNCATED = "truncated"
    """End the stream after `after_tokens` tokens, without finish_reason and without [DONE]."""
    ERROR_EVENT = "error_event"
    """Send `data: {"error": …}` after `after_tokens` tokens, then [DONE]."""
    WRONG_JSON = "wrong_json"
    """Send a data line that is no JSON."""
    EMPTY = "empty"
    """An answer without a single token."""
    ABORT = "abort"
    """finish_reason "abort" after `after_tokens` tokens, as vLLM does on SIGTERM."""
    ENDLESS = "endless"
    """Generate until max_tokens."""


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` requests (None: all) whose last message contains `match`.

    `request_id` narrows it to requests whose `X-Request-Id` begins so.
    """

    kind: FaultKind
    times: int | None = None
    match: str = ""
    status: int = 500
    after_tokens: int = 1
    delay_s: float = 0.05
    message: str = "scripted fault"
    request_id: str = ""

    def applies(self, prompt: str, request_id: str = "") -> bool:
        """Whether it hits this request; counts down."""
        if self.match not in prompt or not request_id.startswith(self.request_id) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def last_content(body: Body) -> str:
    """Text of the last message, or the prompt of a plain completion."""
    messages = body.get("messages")
    if messages:
        return str(messages[-1].get("content") or "")
    return str(body.get("prompt", ""))


class ScriptReader:
    """Finds the answer to a body; remembers how far each list of answers was read."""

    def __init__(self, script: Script | None) -> None:
        self._script = script
        self._given: dict[str, int] = {}

    def answer(self, body: Body) -> Answer:
        """The scripted answer, or an echo."""
        reply = self._reply(body)
        return Answer(reply) if isinstance(reply, str) else reply

    def _reply(self, body: Body) -> Reply:
        prompt = last_content(body)
        if self._script is None:
            return prompt
        if callable(self._script):
            return self._script(body)
        key = self._key(prompt, self._script)
        if key is None:
            return prompt
        found = self._script[key]
        if isinstance(found, str | Answer):
            return found
        turn = self._given.get(key, 0)
        self._given[key] = turn + 1
        return found[min(turn, len(found) - 1)]

    @staticmethod
    def _key(prompt: str, script: Mapping[str, Any]) -> str | None:
        if prompt in script:
            return prompt
        parts = [key for key in script if key != "*" and key in prompt]
        if parts:
            return max(parts, key=len)
        return "*" if "*" in script else None
