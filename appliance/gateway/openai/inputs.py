"""Inputs that are a text, its token ids, or a list of either, as completions and embeddings take them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from appliance.domain.request import ChatMessage

MOST_INPUTS: Final = 2_048
"""OpenAI's limit of inputs of one request."""

_MOST_TOKEN_ID: Final = 2**31

_IDS: Final = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": _MOST_TOKEN_ID}}
_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "minItems": 1, "maxItems": MOST_INPUTS, "items": {"type": "string"}},
        _IDS,
        {"type": "array", "minItems": 1, "maxItems": MOST_INPUTS, "items": _IDS},
    ]
}


def _inputs(said: Any) -> Any:
    if isinstance(said, str) or _are_ids(said):
        return said
    if not isinstance(said, list) or not said:
        raise PydanticCustomError("inputs", "expected a text, token ids, or a list of either that is not empty")
    if len(said) > MOST_INPUTS:
        raise PydanticCustomError("inputs", "more than {most} inputs; send several requests", {"most": MOST_INPUTS})
    if not (all(isinstance(one, str) for one in said) or all(_are_ids(one) for one in said)):
        raise PydanticCustomError("inputs", "every input must be a text, or every one a list of token ids")
    return said


def _are_ids(said: Any) -> bool:
    return (
        isinstance(said, list) and bool(said) and all(type(one) is int and 0 <= one <= _MOST_TOKEN_ID for one in said)
    )


Inputs = Annotated[Any, BeforeValidator(_inputs), WithJsonSchema(_SCHEMA)]
"""`str`, `list[str]`, `list[int]` or `list[list[int]]`."""


def as_messages(said: Any) -> tuple[ChatMessage, ...]:
    """One message for each input, for estimates and traces; token ids as they are written."""
    several = said if isinstance(said, list) and not _are_ids(said) else [said]
    return tuple(ChatMessage("user", one if isinstance(one, str) else " ".join(map(str, one))) for one in several)
