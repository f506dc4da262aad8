"""What a role wants from a model: the shape that every call of the coordinator has before it is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.domain.endpoint import Endpoint

_CHARS_PER_TOKEN = 2
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_IMAGE = 2_000
"""More than the common vision models make of one picture."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Messages in OpenAI's shape, the longest answer (tokens; None: what the context leaves), further fields.

    `max_tokens` of ours must not make a prompt too long: when the engine says so, the call is made once more with
    what the context leaves (`fills_context`), which is less. A wish of the caller's is `exact` and stays. For any other
    `endpoint` than chat the engine gets `inputs`, and `messages` are the texts in them.
    """

    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int | None
    params: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    fills_context: bool = False
    endpoint: Endpoint = Endpoint.CHAT
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sequences(self) -> int:
        """Answers that the engine generates for it."""
        prompts = len(self.messages) if self.endpoint is Endpoint.COMPLETIONS else 1
        return prompts * (self.params.get("n") or 1)

    @property
    def sent_max_tokens(self) -> int | None:
        """What the engine is told."""
        return None if self.fills_context else self.max_tokens

    @property
    def can_be_shorter(self) -> bool:
        """Whether another call with what the context leaves is allowed."""
        return not (self.exact or self.fills_context or self.max_tokens is None)

    @property
    def prompt_tokens_estimate(self) -> int:
        """A guess on the high side: two characters a token, eight tokens of template a message."""
        chars = images = 0
        for message in self.messages:
            content = message.get("content")
            chars += len(content) if isinstance(content, str) else len(text_of(message))
            if calls := message.get("tool_calls"):
                chars += len(str(calls))
            if isinstance(content, list):
                images += len(_images(content))
        if tools := self.params.get("tools"):
            chars += len(str(tools))
        per_message = _TOKENS_PER_MESSAGE * len(self.messages) + _TOKENS_PER_IMAGE * images
        return per_message + -(-chars // _CHARS_PER_TOKEN)

    @property
    def answer_tokens(self) -> int:
        """Of its longest answers."""
        return self.sequences * (self.max_tokens or 0)

    @property
    def tokens_estimate(self) -> int:
        """What to reserve: prompt and longest answers."""
        return self.prompt_tokens_estimate + self.answer_tokens

    @property
    def prompt_text(self) -> str:
        """The prompt as one text, for traces that keep contents."""
        return "\n\n".join(f"{message.get('role', '')}: {text_of(message)}" for message in self.messages)


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, without its images."""
    content = message.get("content") or ""
    if not isinstance(content, list):
        return str(content)
    return "\n".join(str(part.get("text")) for part in content if part.get("type") == "text")


def _images(content: list[Any]) -> list[Any]:
    return [part for part in content if part.get("type") != "text"]
