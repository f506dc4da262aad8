"""What a route says of itself in the OpenAPI document: its body and its answer.

Bodies are parsed by hand, for OpenAI's error shape, and answers are written by hand, for speed; so the framework knows
neither. Nothing here runs for a request.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

_EVENTS: Final = {"text/event-stream": {"schema": {"type": "string", "description": "Server-sent events"}}}


def described(
    body: type[BaseModel] | None = None,
    answer: type[Any] | None = None,
    *,
    streams: bool = False,
    needed: bool = True,
) -> dict[str, Any]:
    """Arguments for a route's decorator.

    `streams`: the answer may come as server-sent events. `needed`: there must be a body.
    """
    found: dict[int | str, dict[str, Any]] = {200: {"model": answer}} if answer is not None else {}
    if streams:
        found.setdefault(200, {})["content"] = _EVENTS
    said: dict[str, Any] = {"responses": found}
    if body is not None:
        content = {"application/json": {"schema": _schema(body)}}
        said["openapi_extra"] = {"requestBody": {"required": needed, "content": content}}
    return said


def _schema(body: type[BaseModel]) -> dict[str, Any]:
    """References → what they refer to, since a body parsed by hand adds no components."""
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    inlined: dict[str, Any] = _inline(schema, schema.pop("$defs", {}))
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inline(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    return node
