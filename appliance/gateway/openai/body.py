"""How every body is read: a JSON object of bounded depth, checked against a model that knows all of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.errors import InvalidRequest
from appliance.gateway.error_responses import invalid

Json = dict[str, Any]

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects in a body."""

MOST_CHOICES: Final = 16
"""The highest `n` that a configuration may allow."""


class Body(BaseModel):
    """A field that is not named is refused, and no value is bent into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


Checked = TypeVar("Checked", bound=Body)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may ask for: answers at once, images."""

    choices: int = 4
    images: int = 8

    def check_choices(self, n: int | None) -> None:
        """Raises InvalidRequest for too many answers at once."""
        if (n or 1) > self.choices:
            raise InvalidRequest(
                f"n: {n} answers at once are more than the {self.choices} that server.max_choices allows; "
                "send several requests",
                param="n",
            )

    def check_images(self, count: int) -> None:
        """Raises InvalidRequest for too many images."""
        if count > self.images:
            raise InvalidRequest(
                f"messages: {count} images are more than the {self.images} that server.max_images allows",
                param="messages",
            )


DEFAULT_LIMITS: Final = RequestLimits()


def read(body: bytes) -> Json:
    """Bytes → a JSON object. Raises InvalidRequest."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    if _deeper_than(document, MAX_DEPTH):
        raise InvalidRequest(f"the body is nested deeper than {MAX_DEPTH} levels")
    return document


def checked(kind: type[Checked], document: Json, refused: dict[str, str]) -> Checked:
    """The body as `kind`. Raises InvalidRequest, naming the field; `refused` are known fields and why not.

    A known field that says nothing (null) is no reason to refuse.
    """
    for name, reason in refused.items():
        if document.pop(name, None) is not None:
            raise InvalidRequest(f"{name}: {reason}", param=name)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise invalid(error) from None


def _deeper_than(document: Json, limit: int) -> bool:
    """Level by level, so that a hostile body costs no stack."""
    level: Sequence[Any] = [document]
    for _ in range(limit):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(value for value in item.values() if isinstance(value, dict | list))
            else:
                inner.extend(value for value in item if isinstance(value, dict | list))
        if not inner:
            return False
        level = inner
    return True
