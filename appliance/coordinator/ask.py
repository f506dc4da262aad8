"""What a role wants from a model: the shape that every call of the coordinator has before it is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CHARS_PER_TOKEN = 2
_TOKENS_PER_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class Ask:
    """Messages in OpenAI's shape, the longest answer (tokens; None: what the context leaves), further fields.

    `max_tokens` of ours must not make a prompt too long: when the engine says so, the call is made once more with
    what the context leaves (`fills_context`), which is less. A wish of the caller's is `exact` and stays.
    """

    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int | None
    params: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    fills_context: bool = False

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
        chars = sum(len(str(message.get("content") or "")) for message in self.messages)
        chars += sum(len(str(message.get("tool_calls") or "")) for message in self.messages)
        chars += len(str(self.params.get("tools") or ""))
        return _TOKENS_PER_MESSAGE * len(self.messages) + -(-chars // _CHARS_PER_TOKEN)

    @property
    def tokens_estimate(self) -> int:
        """What to reserve: prompt and longest answer."""
        return self.prompt_tokens_estimate + (self.max_tokens or 0)

    @property
    def prompt_text(self) -> str:
        """The prompt as one text, for traces that keep contents."""
        return "\n\n".join(f"{message.get('role', '')}: {message.get('content') or ''}" for message in self.messages)
