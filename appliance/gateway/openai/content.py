"""What a message says: text, or texts and images; images come in the body, for nothing is fetched from elsewhere."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from appliance.gateway.openai.body import Json

_DATA_URL: Final = re.compile(r"data:image/(png|jpeg|webp|gif);base64,")
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_SIGNATURES: Final = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "gif": re.compile(rb"GIF8[79]a"),
}
_HEAD_CHARS: Final = 32
_SHOWN_CHARS: Final = 40

_TEXT_PART: Final = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}
_IMAGE_PART: Final = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {
            "type": "object",
            "required": ["url"],
            "properties": {"url": {"type": "string", "pattern": "^data:image/(png|jpeg|webp|gif);base64,"}},
        },
    },
}
_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"anyOf": [_TEXT_PART, _IMAGE_PART]}},
        {"type": "null"},
    ]
}


@dataclass(frozen=True, slots=True)
class Mixed:
    """Texts and images in their order, and the texts joined."""

    text: str
    parts: tuple[Json, ...]

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(part["type"] != "text" for part in self.parts)


def image_problem(url: str) -> str:
    """Why an image's URL is not taken; empty where it is."""
    head = _DATA_URL.match(url)
    if head is None:
        return (
            "an image comes as `data:image/png;base64,…` (or jpeg, webp, gif); "
            f"nothing is fetched, so {url.partition(':')[0][:_SHOWN_CHARS]!r} is refused"
        )
    if not _BASE64.fullmatch(url, head.end()):
        return "the image is no valid base64"
    begins = b64decode(url[head.end() : head.end() + _HEAD_CHARS])
    return "" if _SIGNATURES[head[1]].match(begins) else f"the image does not begin as a {head[1]} does"


def _content(said: Any) -> Any:
    """A list of text parts → one string, joined by newlines as vLLM does it; with images among them → Mixed."""
    if said is None or isinstance(said, str):
        return said
    if not isinstance(said, list):
        raise _problem("expected a string or a list of parts", "")
    parts = [_part(part, index) for index, part in enumerate(said)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text if all(part["type"] == "text" for part in parts) else Mixed(text, tuple(parts))


def _part(part: Any, index: int) -> Json:
    if not isinstance(part, dict):
        raise _problem("a content part is an object with type and text", f"[{index}]")
    if part.get("type") == "image_url":
        return _image(part, index)
    if part.get("type") != "text":
        shown = str(part.get("type"))[:_SHOWN_CHARS]
        raise _problem(f"content of type {shown!r} is not supported; send text or image_url", f"[{index}].type")
    if not isinstance(part.get("text"), str):
        raise _problem("a text part needs the string `text`", f"[{index}].text")
    return {"type": "text", "text": part["text"]}


def _image(part: Json, index: int) -> Json:
    named = part.get("image_url")
    url = named.get("url") if isinstance(named, dict) else None
    if not isinstance(url, str):
        raise _problem("an image part needs an object with the string `url`", f"[{index}].image_url")
    if problem := image_problem(url):
        raise _problem(problem, f"[{index}].image_url.url")
    return {"type": "image_url", "image_url": {"url": url}}


def _problem(message: str, below: str) -> PydanticCustomError:
    return PydanticCustomError("content_part", "{reason}", {"reason": message, "below": below})


Content = Annotated[Any, BeforeValidator(_content), WithJsonSchema(_SCHEMA)]
"""`str`, `Mixed` or None."""
