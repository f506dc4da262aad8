"""What a plan says about one result: its type, and the rules that it has to meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from appliance.coordinator.checks.arithmetic import asked_expression
from appliance.coordinator.checks.numbers import read_number
from appliance.coordinator.checks.output_type import WANTED, OutputType
from appliance.coordinator.references import REFERENCE

QUESTION = "question"
"""Among the sources of quotes: the question itself."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The rules for one result; what is None or empty is not asked for.

    `json_schema` is the schema's JSON text. `arithmetic` is an expression, with `$id` references until they are filled
    in. `quotes_from` are the ids of the results, or `question`, that quotations are taken from. `enough`: a result
    that meets `regex` or `json_schema` needs no verifier, because its form is all that is asked for.
    """

    output: OutputType | None = None
    regex: str | None = None
    json_schema: str | None = None
    arithmetic: str | None = None
    unit: str | None = None
    quotes_from: tuple[str, ...] = ()
    enough: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The ids of the results that the rules speak of."""
        if self is NO_CHECKS:
            return ()
        return (*REFERENCE.findall(self.arithmetic or ""), *(name for name in self.quotes_from if name != QUESTION))

    @property
    def has_rules(self) -> bool:
        """Whether there is a rule beside the type."""
        return any((self.regex, self.json_schema, self.arithmetic, self.unit, self.quotes_from))

    def inferred(self, instruction: str) -> Checks:
        """Where there is no rule: that of an instruction which asks for the value of an expression and nothing else.

        The instruction is the plan's own, before results are filled in: those are data and make no rules.
        """
        expression = None if self.has_rules else asked_expression(instruction)
        return self if expression is None else replace(self, arithmetic=expression)

    def filled(self, results: Mapping[str, str]) -> Checks:
        """With each reference replaced by its number; without the expression where a result is no number.

        Numbers stand in parentheses: a result is one term of an expression and never a piece of its text.
        """
        if self.arithmetic is None:
            return self
        numbers = {name: read_number(results[name]) for name in REFERENCE.findall(self.arithmetic)}
        known = {name: number.value for name, number in numbers.items() if number is not None}
        if len(known) < len(numbers):
            return replace(self, arithmetic=None)
        return replace(self, arithmetic=REFERENCE.sub(lambda match: f"({known[match[1]]})", self.arithmetic))

    def wishes(self) -> tuple[str, ...]:
        """What a model is told about the form of its result, a phrase each."""
        if self is NO_CHECKS:
            return ()
        said = (
            None if self.output in (None, OutputType.TEXT) else WANTED[self.output],
            self.unit and f"one number with the unit {self.unit}",
            self.regex and f"a text that matches the regular expression {self.regex} as a whole",
            self.json_schema and f"JSON that matches the JSON Schema {self.json_schema}",
            self.quotes_from and f"passages in quotation marks, word for word from {' or '.join(self.quotes_from)}",
        )
        return tuple(wish for wish in said if wish)


NO_CHECKS = Checks()
