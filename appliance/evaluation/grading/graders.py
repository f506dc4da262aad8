"""Graders that only read: exact, numeric, regex, JSON Schema, multiple choice and set F1. Pure.

Each is one shape of a suite's `grader`. Those that run something (`unit_tests`) or ask a model (`judge`) are declared
here too, since a suite names them the same way; `sandbox.py` and `judging.py` carry them out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.coordinator.answer_shape import AnswerShape, schema_problem
from appliance.coordinator.voting import normalised
from appliance.domain.identifier import Identifier
from appliance.evaluation.grading.grade import Grade, extracted

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_MARK = re.compile(r"^[\s*_(\[]*([A-Z])(?:[\s*_)\].:,]|$)")
_LETTER = re.compile(r"\b([A-Z])\b")


class _Reading(BaseModel):
    """Where in an answer the graded part stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: str | None = None
    """Only what stands after the last occurrence of this text counts."""
    extract: str | None = None
    """Only the last match of this regular expression counts, or its first group where it has one."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        if self.extract is not None:
            _compiled(self.extract)
        return self

    def part(self, answer: str) -> str:
        """The part of an answer that counts."""
        return extracted(answer, self.after, _compiled(self.extract) if self.extract is not None else None)

    def key(self, answer: str) -> str:
        """What answers that mean the same have in common: votes are counted by it."""
        return normalised(self.part(answer))

    def problem(self, answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """Why a task can't be graded; empty where it can."""
        return "" if answers else "a right answer is needed by this grader"


class Exact(_Reading):
    """The same text as one of the right answers."""

    type: Literal["exact"]
    normalise: bool = True
    """Case, spaces, quotes and the way of writing a number do not matter."""

    def grade(self, answer: str, answers: Sequence[str], _choices: Sequence[str]) -> Grade:
        """1 or 0."""
        said = self.part(answer)
        same = normalised if self.normalise else str
        return Grade(float(same(said) in {same(right) for right in answers}), said)


class Numeric(_Reading):
    """The last number of the answer is one of the right ones, within a tolerance."""

    type: Literal["numeric"]
    absolute: Annotated[float, Field(ge=0)] = 0.0
    relative: Annotated[float, Field(ge=0)] = 1e-9
    """Of the right answer's size."""

    def grade(self, answer: str, answers: Sequence[str], _choices: Sequence[str]) -> Grade:
        """1 or 0."""
        said = last_number(self.part(answer))
        if said is None:
            return Grade(0.0, "", "no number in the answer")
        right = any(self._near(said, wanted) for text in answers if (wanted := last_number(text)) is not None)
        return Grade(float(right), str(said))

    def key(self, answer: str) -> str:
        """The number, however it is written."""
        said = last_number(self.part(answer))
        return "" if said is None else str(said.normalize())

    def problem(self, answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """Every right answer must hold a number."""
        wrong = [text for text in answers if last_number(text) is None]
        return f"the right answer {wrong[0][:80]!r} holds no number" if wrong else super().problem(answers, (), "")

    def _near(self, said: Decimal, wanted: Decimal) -> bool:
        slack = max(Decimal(str(self.absolute)), abs(wanted) * Decimal(str(self.relative)))
        return abs(said - wanted) <= slack


class Regex(_Reading):
    """The answer matches a regular expression: the task's own answer, or one for all."""

    type: Literal["regex"]
    pattern: str | None = None

    def grade(self, answer: str, answers: Sequence[str], _choices: Sequence[str]) -> Grade:
        """1 or 0."""
        said = self.part(answer)
        patterns = [self.pattern] if self.pattern is not None else answers
        return Grade(float(any(_compiled(pattern).search(said) for pattern in patterns)), said)

    def problem(self, answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """A pattern that does not compile can't be matched."""
        try:
            for pattern in answers if self.pattern is None else [self.pattern]:
                _compiled(pattern)
        except ValueError as error:
            return str(error)
        return "" if self.pattern is not None else super().problem(answers, (), "")


class JsonSchema(_Reading):
    """The answer is JSON that a schema allows; where right answers are given, it is also equal to one of them."""

    type: Literal["json_schema"]
    json_schema: dict[str, Any]

    @model_validator(mode="after")
    def _is_schema(self) -> Self:
        if problem := schema_problem(self.json_schema):
            raise ValueError(f"json_schema: {problem}")
        return self

    def grade(self, answer: str, answers: Sequence[str], _choices: Sequence[str]) -> Grade:
        """1 or 0, with what the schema objects to."""
        said = self.part(answer)
        if reason := AnswerShape(self.json_schema).violation(said):
            return Grade(0.0, said, reason)
        if answers and _json(said) not in [_json(right) for right in answers]:
            return Grade(0.0, said, "allowed by the schema, but not the right answer")
        return Grade(1.0, said)

    def problem(self, answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """Right answers are JSON, where there are any."""
        for right in answers:
            try:
                json.loads(right)
            except ValueError:
                return f"the right answer {right[:80]!r} is not JSON"
        return ""


class Choice(_Reading):
    """One of the lettered choices. The right answer is its letter, its number from 0, or its text."""

    type: Literal["choice"]

    def grade(self, answer: str, answers: Sequence[str], choices: Sequence[str]) -> Grade:
        """1 or 0."""
        said = self.letter(answer, choices)
        if not said:
            return Grade(0.0, "", "none of the choices was named")
        return Grade(float(said in {_letter_of(right, choices) for right in answers}), said)

    def key(self, answer: str) -> str:
        """The letter, where the answer begins with one."""
        said = self.part(answer)
        mark = _MARK.match(said)
        return mark.group(1) if mark else normalised(said)

    def letter(self, answer: str, choices: Sequence[str]) -> str:
        """The letter that an answer names: at its beginning, by the text of a choice, or as its last single letter."""
        said, known = self.part(answer), [chr(65 + index) for index in range(len(choices))]
        mark = _MARK.match(said)
        if mark and mark.group(1) in known:
            return mark.group(1)
        by_text = [known[i] for i, text in enumerate(choices) if normalised(said) == normalised(text)]
        named = [letter for letter in _LETTER.findall(said) if letter in known]
        return by_text[0] if by_text else named[-1] if named else ""

    def problem(self, answers: Sequence[str], choices: Sequence[str], _tests: str) -> str:
        """The right answers must be among the choices."""
        if not choices:
            return "this grader needs choices; name their column under columns.choices"
        unknown = [right for right in answers if not _letter_of(right, choices)]
        return f"the right answer {unknown[0][:80]!r} is none of the choices" if unknown else ""


class SetF1(_Reading):
    """Items of the answer against those of the right answers: the harmonic mean of precision and recall."""

    type: Literal["set_f1"]
    separator: str = r"[,;\n]"
    """A regular expression between two items. A JSON list is read as it is."""

    def grade(self, answer: str, answers: Sequence[str], _choices: Sequence[str]) -> Grade:
        """F1 in [0, 1] of the best right answer, where several lists are right."""
        said = self._items(self.part(answer))
        wanted = [self._items(right) for right in answers]
        return Grade(max((_f1(said, items) for items in wanted), default=0.0), ", ".join(sorted(said)))

    def key(self, answer: str) -> str:
        """The items, sorted."""
        return "\n".join(sorted(self._items(self.part(answer))))

    def problem(self, answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """The separator must compile."""
        try:
            _compiled(self.separator)
        except ValueError as error:
            return str(error)
        return super().problem(answers, (), "")

    def _items(self, text: str) -> frozenset[str]:
        listed = _json(text)
        parts = map(str, listed) if isinstance(listed, list) else _compiled(self.separator).split(text)
        return frozenset(key for part in parts if (key := normalised(part)))


class UnitTests(_Reading):
    """The answer is a Python program that the task's tests pass in: run without network, bounded in time and memory."""

    type: Literal["unit_tests"]
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    memory_bytes: Annotated[int, Field(ge=2**26)] = 2**29

    def problem(self, _answers: Sequence[str], _choices: Sequence[str], tests: str) -> str:
        """Tests are needed."""
        return "" if tests else "this grader needs tests; name their column under columns.tests"


class Judge(_Reading):
    """A model of the pool compares the answer with the task's reference answer, in both orders.

    Where a task has none, the first target's answer is the reference. The score is the mean of both orders (better 1,
    as good 0.5, worse 0), and how often they agree is reported. `model` is never a target of the same run.
    """

    type: Literal["judge"]
    model: Identifier
    criterion: str = "Which answer is more correct, complete and helpful?"

    def problem(self, _answers: Sequence[str], _choices: Sequence[str], _tests: str) -> str:
        """Anything can be judged."""
        return ""


ReadingGrader = Exact | Numeric | Regex | JsonSchema | Choice | SetF1
Grader = Annotated[ReadingGrader | UnitTests | Judge, Field(discriminator="type")]


def last_number(text: str) -> Decimal | None:
    """The last number that is written in a text."""
    found = _NUMBER.findall(text.replace("−", "-"))
    try:
        return Decimal(found[-1].replace(",", "")) if found else None
    except InvalidOperation:
        return None


def _letter_of(right: str, choices: Sequence[str]) -> str:
    letters = [chr(65 + index) for index in range(len(choices))]
    if right in letters:
        return right
    if right in choices:
        return letters[list(choices).index(right)]
    return letters[int(right)] if right.isdecimal() and int(right) < len(letters) else ""


def _f1(said: frozenset[str], wanted: frozenset[str]) -> float:
    if not said and not wanted:
        return 1.0
    return 2 * len(said & wanted) / (len(said) + len(wanted))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"the regular expression {pattern[:80]!r} can't be used: {error}") from None
