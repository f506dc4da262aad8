"""JSON: whether a result is some, and whether it matches a schema or a regular expression.

Both run on the Rust engine of jsonschema-rs, whose regular expressions take linear time: a planner's pattern can't
keep the house busy. Look-around and back references are therefore unknown. Nothing that a schema refers to is fetched.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema_rs
from jsonschema_rs import RegexOptions, ValidationError, Validator

from appliance.coordinator.checks.finding import Finding

REGEX = "regex"
JSON_SCHEMA = "json_schema"
MOST_PATTERN_CHARS = 500
MOST_SCHEMA_CHARS = 8_000
_ENGINE = RegexOptions(size_limit=2_000_000, dfa_size_limit=2_000_000)
_SHOWN_PROBLEMS = 3
_FENCE = "```"


class NotJson(ValueError):
    """A text is no JSON."""


def read_json(text: str) -> Any:
    """The value of a JSON text; a code fence around it, as models like it, is no part of it. Raises NotJson."""
    try:
        return json.loads(_unfenced(text), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotJson("the result is not valid JSON") from None


def pattern_problem(pattern: str) -> str:
    """Why a pattern can't be used; empty where it can."""
    if not pattern or len(pattern) > MOST_PATTERN_CHARS:
        return f"a regex has 1 to {MOST_PATTERN_CHARS} characters"
    try:
        _matcher(pattern)
    except ValidationError:
        return "its regex is not one of the linear kind (no look-around, no back references, no huge repetition)"
    return ""


def schema_problem(schema: Any) -> str:
    """Why a schema can't be used; empty where it can."""
    if not isinstance(schema, dict):
        return "a json_schema is an object"
    text = json.dumps(schema)
    if len(text) > MOST_SCHEMA_CHARS:
        return f"a json_schema has at most {MOST_SCHEMA_CHARS} characters"
    try:
        _validator(text)
    except (ValidationError, ValueError):
        return "its json_schema is not a valid one, or refers to another document"
    return ""


def check_regex(pattern: str, result: str) -> Finding:
    """Whether all of `result` matches."""
    if _matcher(pattern).is_valid(result):
        return Finding(REGEX)
    return Finding(REGEX, f"the result as a whole does not match the regular expression {pattern}")


def check_json_schema(schema: str, result: str) -> Finding:
    """Whether `result` is JSON that matches the JSON text `schema`; the reason names the first few places."""
    try:
        value = read_json(result)
    except NotJson as problem:
        return Finding(JSON_SCHEMA, str(problem))
    problems = []
    for error in _validator(schema).iter_errors(value):
        place = "/".join(str(part) for part in error.instance_path)
        problems.append(f"{place}: {error.message[:200]}" if place else error.message[:200])
        if len(problems) == _SHOWN_PROBLEMS:
            break
    return Finding(JSON_SCHEMA, "; ".join(problems))


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Validator:
    schema = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return jsonschema_rs.validator_for(schema, pattern_options=_ENGINE)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    return jsonschema_rs.validator_for(json.loads(schema), pattern_options=_ENGINE, retriever=_fetch_nothing)


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri}: schemas stand for themselves")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _unfenced(text: str) -> str:
    text = text.strip()
    if not (text.startswith(_FENCE) and text.endswith(_FENCE) and "\n" in text):
        return text
    return text.partition("\n")[2].removesuffix(_FENCE)
