from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from appliance.coordinator.checks.checks import NO_CHECKS, Checks
from appliance.coordinator.checks.output_type import OutputType
from appliance.coordinator.checks.reading import STEP_PROPERTIES, read_checks

GOOD: list[tuple[dict[str, Any], Checks]] = [
    ({}, NO_CHECKS),
    ({"output": "number"}, Checks(output=OutputType.NUMBER)),
    ({"check": {}}, NO_CHECKS),
    ({"check": {"regex": "[A-Z]+", "enough": True}}, Checks(regex="[A-Z]+", enough=True)),
    ({"check": {"json_schema": {"type": "array"}}}, Checks(json_schema='{"type": "array"}')),
    ({"check": {"arithmetic": "$s1*7"}}, Checks(arithmetic="$s1*7")),
    ({"check": {"arithmetic": "12*7", "unit": "kg"}}, Checks(arithmetic="12*7", unit="kg")),
    ({"check": {"quotes_from": ["s1", "question", "s1"]}}, Checks(quotes_from=("s1", "question"))),
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"output": "poem"}, "its output is not one of text, number"),
    ({"output": ["number"]}, "its output is not one of"),
    ({"output": "number", "check": {"unit": "kg"}}, "its output is a plain number, but its check wants a unit"),
    ({"check": "regex"}, "its check is not an object with keys among regex"),
    ({"check": {"shell": "secret"}}, "its check is not an object with keys among regex"),
    ({"check": {"regex": 1}}, "must be strings"),
    ({"check": {"regex": "(?=a)"}}, "its regex is not one of the linear kind"),
    ({"check": {"json_schema": {"type": "strin"}}}, "its json_schema is not a valid one"),
    ({"check": {"json_schema": "x"}}, "a json_schema is an object"),
    ({"check": {"arithmetic": "the sum"}}, "arithmetic of its check is no expression"),
    ({"check": {"arithmetic": "12"}}, "arithmetic of its check is no expression"),
    ({"check": {"unit": " "}}, "unit of its check has 1 to 40 characters"),
    ({"check": {"quotes_from": []}}, "quotes_from of its check must be a list"),
    ({"check": {"quotes_from": "s1"}}, "quotes_from of its check must be a list"),
    ({"check": {"enough": True}}, "enough of its check goes with"),
    ({"check": {"regex": "a", "enough": 1}}, "enough of its check must be true or false"),
]


@pytest.mark.parametrize(("step", "checks"), GOOD)
def test_checks_are_read_and_the_grammar_allows_them(step: dict[str, Any], checks: Checks) -> None:
    assert read_checks(step) == checks
    grammar = {"type": "object", "properties": dict(STEP_PROPERTIES), "additionalProperties": False}
    assert jsonschema_rs.is_valid(grammar, step)


@pytest.mark.parametrize(("step", "reason"), BAD)
def test_what_can_not_be_used_is_named_without_quoting_it(step: dict[str, Any], reason: str) -> None:
    problem = read_checks(step)
    assert isinstance(problem, str)
    assert reason in problem
    assert "secret" not in problem
