"""The body's fields for the form of the answer: a response format, and tools to call.

They are checked at the door, because an engine would refuse them only when the plan for the answer was carried out.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from appliance.coordinator.answer_shape import schema_problem
from appliance.gateway.openai.body import Json


def _format(said: Json | None) -> Json | None:
    if said is None:
        return None
    kind = said.get("type")
    if kind not in ("text", "json_object", "json_schema", "structural_tag"):
        raise _problem("expected text, json_object or json_schema", ".type")
    if kind == "json_schema":
        named = said.get("json_schema")
        if not isinstance(named, dict) or "schema" not in named:
            raise _problem("expected an object with name and schema", ".json_schema")
        if problem := schema_problem(named["schema"]):
            raise _problem(problem, ".json_schema.schema")
    return said


def _tool(said: Json) -> Json:
    """A tool is a function with a name; the rest is between the caller and the model."""
    if said.get("type") != "function":
        raise _problem("expected 'function'", ".type")
    function = said.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _problem("expected an object with a name", ".function")
    return said


def _choice(said: Any) -> Any:
    if said is None or isinstance(said, dict) or said in ("none", "auto", "required"):
        return said
    raise PydanticCustomError("tool_choice", "expected 'none', 'auto', 'required' or an object that names a function")


def _problem(message: str, below: str) -> PydanticCustomError:
    return PydanticCustomError("answer_form", "{reason}", {"reason": message, "below": below})


ResponseFormat = Annotated[Json | None, AfterValidator(_format)]
Tool = Annotated[Json, AfterValidator(_tool)]
ToolChoice = Annotated[
    Any,
    BeforeValidator(_choice),
    WithJsonSchema({"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}, {"type": "null"}]}),
]
