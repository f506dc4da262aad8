from __future__ import annotations

import time
from typing import Any

import pytest

from appliance.coordinator.answer_shape import AnswerShape, schema_problem, shape_of

SCHEMA = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "code": {"type": "string", "pattern": "^[A-Z]+$"}},
    "required": ["count"],
}


def asked(schema: Any, **more: Any) -> AnswerShape:
    shape = shape_of({"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True, **more}})
    assert shape is not None
    return shape


def test_text_promises_nothing() -> None:
    assert shape_of(None) is None
    assert shape_of({"type": "text"}) is None


def test_json_object_is_an_object() -> None:
    shape = shape_of({"type": "json_object"})
    assert shape is not None
    assert shape.violation('{"a": 1}') == ""
    assert shape.violation("[1]") == "it is not a JSON object"
    assert shape.violation("79") == "it is not a JSON object"
    assert shape.violation("hello") == "it is not JSON"
    assert shape.violation("[" * 100_000) == "it is not JSON"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"count": 1, "code": "AB"}', ""),
        ('{"count": "1"}', "`type` of its schema does not hold"),
        ("{}", "`required` of its schema does not hold"),
        ('{"count": 1, "code": "ab"}', "`pattern` of its schema does not hold"),
        ("count: 1", "it is not JSON"),
    ],
)
def test_strict_schemas_are_looked_at_again(text: str, problem: str) -> None:
    assert asked(SCHEMA).violation(text) == problem


def test_others_promise_json() -> None:
    shape = asked(SCHEMA, strict=False)
    assert shape.violation('{"count": "1"}') == ""
    assert shape.violation("count: 1") == "it is not JSON"


def test_references_within_the_schema_are_followed() -> None:
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    }
    assert asked(tree).violation('{"next": {"next": {}}}') == ""
    assert asked(tree).violation('{"next": {"next": 1}}') == "`type` of its schema does not hold"
    assert asked({"$ref": "#/$defs/none"}).violation("{}") == "its schema has a reference to nowhere"


def test_no_schema_takes_the_house_s_time() -> None:
    doubling: dict[str, Any] = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    doubling["a60"] = {"type": "null"}
    endless = ({"$ref": "#/$defs/a0", "$defs": doubling}, {"$ref": "#"})
    started = time.process_time()
    for schema in endless:
        assert asked(schema).violation("{}") == "its schema takes too long to check"
    patterns = {"type": "object", "properties": {"a": {"pattern": r"^(?=a)((a+)+)\1$"}}}
    assert asked(patterns).violation(f'{{"a": "{"a" * 4_000}b"}}')
    names = {"type": "object", "patternProperties": {"(a+)+$": {}}, "additionalProperties": False}
    assert asked(names).violation(f'{{"{"a" * 4_000}b": 1}}') == ""
    assert time.process_time() - started < 5, "each of these would take longer than the universe"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "is an object"),
        ({"type": "whole"}, "no valid JSON Schema"),
        ({"items": {"$ref": "http://127.0.0.1:1/x"}}, "leads out of the schema"),
        ({"$schema": "http://127.0.0.1:1/x"}, "none of https://json-schema.org/draft/2020-12"),
        ({"$schema": 5}, "none of"),
    ],
)
def test_schemas_that_can_t_be_used_are_refused(schema: Any, words: str) -> None:
    assert words in schema_problem(schema)


def test_usual_schemas_can_be_used() -> None:
    assert schema_problem(SCHEMA) == ""
    assert schema_problem({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}) == ""
    assert schema_problem({"$defs": {"a": {}}, "$ref": "#/$defs/a"}) == ""
