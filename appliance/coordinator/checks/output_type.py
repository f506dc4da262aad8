"""The type of a result that a plan expects."""

from __future__ import annotations

import datetime
import re
from enum import StrEnum

from appliance.coordinator.checks.finding import Finding
from appliance.coordinator.checks.json_values import NotJson, read_json
from appliance.coordinator.checks.numbers import read_number

RULE = "output"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MARKED = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s+\S.*")


class OutputType(StrEnum):
    """What a result looks like."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"
    LIST = "list"
    DATE = "date"


WANTED = {
    OutputType.TEXT: "text",
    OutputType.NUMBER: "one number and nothing else",
    OutputType.INTEGER: "one whole number and nothing else",
    OutputType.BOOLEAN: "true or false, and nothing else",
    OutputType.JSON: "one JSON value and nothing else",
    OutputType.LIST: "a JSON array, or one item a line, each after a dash",
    OutputType.DATE: "one date as YYYY-MM-DD and nothing else",
}
"""How each is asked for, and what a reason says is missing."""


def check_output(output: OutputType, result: str) -> Finding:
    """Whether `result` is of this type."""
    return Finding(RULE) if _fits(output, result.strip()) else Finding(RULE, f"the result has to be {WANTED[output]}")


def _fits(output: OutputType, result: str) -> bool:
    if output in (OutputType.NUMBER, OutputType.INTEGER):
        number = read_number(result)
        return number is not None and (output is OutputType.NUMBER or number.value.denominator == 1)
    if output is OutputType.BOOLEAN:
        return result.rstrip(".").lower() in {"true", "false", "yes", "no"}
    if output is OutputType.JSON:
        return _is_json(result)
    if output is OutputType.LIST:
        return _is_list(result)
    return output is OutputType.TEXT or _is_date(result)


def _is_json(result: str) -> bool:
    try:
        read_json(result)
    except NotJson:
        return False
    return True


def _is_list(result: str) -> bool:
    """A JSON array, marked lines, or items between commas or semicolons on one line."""
    try:
        return isinstance(read_json(result), list)
    except NotJson:
        lines = [line.strip() for line in result.splitlines() if line.strip()]
    if len(lines) == 1 and not _MARKED.fullmatch(lines[0]):
        return any(len([item for item in lines[0].split(sign) if item.strip()]) > 1 for sign in ",;")
    return bool(lines) and all(_MARKED.fullmatch(line) for line in lines)


def _is_date(result: str) -> bool:
    if not _DATE.fullmatch(result):
        return False
    try:
        datetime.date.fromisoformat(result)
    except ValueError:
        return False
    return True
