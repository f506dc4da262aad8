"""What a route says of itself in the OpenAPI document: its body, its answers, its errors.

Bodies are parsed by hand, for OpenAI's error shape, and answers are written by hand, for speed; so the framework knows
neither. Nothing here runs for a request.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from appliance.gateway.openai.documents import ErrorDocument

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": ErrorDocument, "description": "The caller can mend it"},
    "5XX": {"model": ErrorDocument, "description": "The appliance or an engine can't answer"},
}

_EVENTS: Final = {"text/event-stream": {"schema": {"type": "string", "description": "Server-sent events"}}}


def described(
    body: type[BaseModel] | None = None, answer: type[BaseModel] | None = None, *, streams: bool = False
) -> dict[str, Any]:
    """Arguments for a route's decorator. `streams`: the answer may come as server-sent events."""
    found: dict[int | str, dict[str, Any]] = {200: {"model": answer}} if answer is not None else {}
    if streams:
        found.setdefault(200, {})["content"] = _EVENTS
    said: dict[str, Any] = {"responses": {**found, **ERRORS}}
    if body is not None:
        content = {"application/json": {"schema": _schema(body)}}
        said["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return said


def _schema(body: type[BaseModel]) -> dict[str, Any]:
    """References → what they refer to, since a route can't add components."""
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
