"""The `output` and `check` of a plan's step → `Checks`, or what is wrong with them; and their JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from appliance.coordinator.checks.arithmetic import asked_expression
from appliance.coordinator.checks.checks import NO_CHECKS, QUESTION, Checks
from appliance.coordinator.checks.json_values import pattern_problem, schema_problem
from appliance.coordinator.checks.output_type import OutputType

_RULES = ("regex", "json_schema", "arithmetic", "unit", "quotes_from")
_KEYS = frozenset((*_RULES, "enough"))
_MOST_UNIT_CHARS = 40
_MOST_SOURCES = 16
_PLAIN_NUMBERS = (OutputType.NUMBER, OutputType.INTEGER)

STEP_PROPERTIES: Mapping[str, Any] = {
    "output": {"type": "string", "enum": [output.value for output in OutputType]},
    "check": {
        "type": "object",
        "properties": {
            "regex": {"type": "string"},
            "json_schema": {"type": "object"},
            "arithmetic": {"type": "string"},
            "unit": {"type": "string"},
            "quotes_from": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _MOST_SOURCES},
            "enough": {"type": "boolean"},
        },
        "additionalProperties": False,
    },
}
"""The two optional keys of a step, for the grammar that a planner writes under."""


def read_checks(step: Mapping[str, Any]) -> Checks | str:
    """The checks of one step, or why they can't be used. The reason never quotes the step."""
    output, check = step.get("output"), step.get("check", {})
    if output is None and check == {}:
        return NO_CHECKS
    if output is not None and output not in tuple(OutputType):
        return f"its output is not one of {', '.join(OutputType)}"
    problem = _problem(check)
    if problem:
        return problem
    schema = check.get("json_schema")
    checks = Checks(
        output=None if output is None else OutputType(output),
        regex=check.get("regex"),
        json_schema=None if schema is None else json.dumps(schema),
        arithmetic=check.get("arithmetic"),
        unit=check.get("unit"),
        quotes_from=tuple(dict.fromkeys(check.get("quotes_from", ()))),
        enough=check.get("enough", False),
    )
    if checks.unit and checks.output in _PLAIN_NUMBERS:
        return "its output is a plain number, but its check wants a unit; leave output out"
    return checks


def _problem(check: Any) -> str:
    """The first thing wrong with a `check`; empty where nothing is."""
    if not isinstance(check, dict) or not check.keys() <= _KEYS:
        return f"its check is not an object with keys among {', '.join((*_RULES, 'enough'))}"
    if any(not isinstance(check[key], str) for key in ("regex", "arithmetic", "unit") if key in check):
        return "regex, arithmetic and unit of its check must be strings"
    if not isinstance(check.get("enough", False), bool):
        return "enough of its check must be true or false"
    if check.get("enough") and not check.keys() & {"regex", "json_schema"}:
        return "enough of its check goes with a regex or a json_schema"
    return _rule_problem(check)


def _rule_problem(check: Mapping[str, Any]) -> str:
    if "regex" in check and (problem := pattern_problem(check["regex"])):
        return problem
    if "json_schema" in check and (problem := schema_problem(check["json_schema"])):
        return problem
    if "arithmetic" in check and asked_expression(check["arithmetic"]) != check["arithmetic"].strip():
        return "arithmetic of its check is no expression of numbers, $ids, + - * / ** and parentheses"
    if "unit" in check and not 0 < len(check["unit"].strip()) <= _MOST_UNIT_CHARS:
        return f"unit of its check has 1 to {_MOST_UNIT_CHARS} characters"
    sources = check.get("quotes_from", [QUESTION])
    if not isinstance(sources, list) or not sources or not all(isinstance(name, str) for name in sources):
        return f'quotes_from of its check must be a list of ids, or of "{QUESTION}"'
    return ""
