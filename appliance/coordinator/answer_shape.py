"""What a caller's `response_format` promises of the answer, and whether an answer keeps it. Pure.

The engine's grammar makes the answer fit while it is written. This is the second look, at the end, for what a grammar
does not know: an engine that ignores it, or a keyword of the schema that it leaves out. A schema comes from a caller,
so the check reads nothing from elsewhere, its patterns run on an engine without runaway backtracking, and references
are followed a limited number of times.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

_MAX_REFERENCES: Final = 4_000
"""References followed in one check; a schema of references to references can ask for more than there is time."""

_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)
_SHOWN_CHARS: Final = 200
_DIALECTS: Final = (
    *("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema"),
    *(f"http://json-schema.org/draft-0{number}/schema{end}" for number in (7, 6, 4) for end in ("#", "")),
)
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """The answer is one JSON document; where there is a `schema`, one that is valid under it."""

    schema: Mapping[str, Any] | None = None

    def violation(self, text: str) -> str:
        """What is wrong with an answer; empty when it keeps the promise. Quotes no content."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return "it is not JSON"
        if self.schema is None:
            return "" if isinstance(document, dict) else "it is not a JSON object"
        return _violation(self.schema, document)


class _TooCostly(Exception):
    """More references than anybody needs."""


def shape_of(response_format: Mapping[str, Any] | None) -> AnswerShape | None:
    """The promise of a `response_format` that the door has let in; None: any text will do.

    A `json_schema` that is not `strict` promises JSON; the engine's grammar does what it can for the rest.
    """
    match (response_format or {}).get("type"):
        case "json_object":
            return AnswerShape()
        case "json_schema":
            named = (response_format or {}).get("json_schema") or {}
            return AnswerShape(named.get("schema") if named.get("strict") else None)
    return None


def schema_problem(schema: Any) -> str:
    """Why a caller's schema can't be used; empty when it can."""
    if not isinstance(schema, dict):
        return "a JSON Schema is an object"
    if schema.get("$schema", _DIALECTS[0]) not in _DIALECTS:  # an unknown one would be looked for in the network
        return f"no valid JSON Schema: its $schema is none of {', '.join(_DIALECTS)}"
    if far := next((ref for ref in _references(schema) if not ref.startswith("#")), None):
        return f"the reference {far[:_SHOWN_CHARS]!r} leads out of the schema; put what it means under $defs"
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        return f"no valid JSON Schema: {error.message[:_SHOWN_CHARS]}"
    return ""


def _violation(schema: Mapping[str, Any], document: Any) -> str:
    base = validator_for(schema, default=Draft202012Validator)
    follow = _counted(base)
    known = {"pattern": _pattern, "patternProperties": _unchecked} | {word: follow(word) for word in _REFERENCES}
    if "patternProperties" in json.dumps(schema):
        known |= {"additionalProperties": _unchecked, "unevaluatedProperties": _unchecked}
    validator: type[Validator] = extend(
        base,
        {  # type: ignore[no-untyped-call]  # of jsonschema
            word: check for word, check in known.items() if word in base.VALIDATORS
        },
    )
    try:
        problem = next(validator(schema, registry=Registry()).iter_errors(document), None)
    except (_TooCostly, RecursionError):
        return "its schema takes too long to check"
    except Unresolvable:
        return "its schema has a reference to nowhere"
    return "" if problem is None else f"`{problem.validator}` of its schema does not hold"


def _counted(base: type[Validator]) -> Any:
    """Makes checks of references that share one count."""
    followed = itertools.count(1)

    def follow(word: str) -> Any:
        check = base.VALIDATORS.get(word)

        def counted(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
            if next(followed) > _MAX_REFERENCES:
                raise _TooCostly
            assert check is not None, "asked only for words that the draft knows"
            yield from check(validator, reference, instance, schema) or ()

        return counted

    return follow


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    try:
        holds = jsonschema_rs.is_valid({"pattern": pattern}, instance, pattern_options=_PATTERNS)
    except ValueError:  # a pattern of another dialect: the grammar's business
        return
    if not holds:
        yield ValidationError("another pattern")


def _unchecked(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Names of properties by pattern: left to the grammar."""
    yield from ()


def _references(node: Any) -> Iterator[str]:
    """Every reference of a schema, however deep; the body's depth is limited at the door."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _REFERENCES and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
