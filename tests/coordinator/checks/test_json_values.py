from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.checks.json_values import (
    NotJson,
    check_json_schema,
    check_regex,
    pattern_problem,
    read_json,
    schema_problem,
)

PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)


def test_all_of_the_result_has_to_match() -> None:
    assert check_regex("[A-Z]{3}-[0-9]+", "QEX-12").ok
    assert check_regex("a|bc", "bc").ok
    for result in ("QEX-12 ", "QEX-12\n", "xQEX-12", ""):
        assert not check_regex("[A-Z]{3}-[0-9]+", result).ok


def test_a_pattern_that_explodes_elsewhere_takes_linear_time() -> None:
    assert pattern_problem("((a+)+)+b") == ""
    assert not check_regex("((a+)+)+b", "a" * 100_000).ok


@pytest.mark.parametrize("pattern", ["", "(", r"(?=a)b", r"(a)\1", "((a{1000}){1000}){9}", "a" * 501])
def test_patterns_that_can_not_be_used_are_named(pattern: str) -> None:
    assert pattern_problem(pattern)


def test_a_schema_is_met_or_the_places_are_told() -> None:
    assert check_json_schema(PERSON, '{"name": "Zoe", "age": 7}').ok
    assert check_json_schema(PERSON, '```json\n{"name": "Zoe", "age": 7}\n```').ok
    reason = check_json_schema(PERSON, '{"name": 1, "age": -1, "x": 2}').reason
    assert "name: 1 is not of type" in reason
    assert "age: -1 is less than the minimum of 0" in reason
    assert check_json_schema(PERSON, "Zoe, 7").reason == "the result is not valid JSON"


@pytest.mark.parametrize(
    "schema",
    [
        1,
        {"type": "strin"},
        {"pattern": "(?=a)"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/none"},
        {"enum": ["x" * 9_000]},
    ],
)
def test_schemas_that_can_not_be_used_are_named_and_nothing_is_fetched(schema: object) -> None:
    assert schema_problem(schema)
    assert schema_problem(json.loads(PERSON)) == ""


@pytest.mark.parametrize("text", ["", "{", "NaN", "[" * 100_000, "9" * 10_000, "{'a': 1}"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        read_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_what_is_json_is_read(value: object) -> None:
    assert read_json(json.dumps(value)) == value
