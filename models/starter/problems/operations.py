"""The single operations that executors do: their text, their result, and the part of the data they belong to."""

import re
from typing import Literal

from models.starter.problems.splits import Split, split_of_key

Skill = Literal["math", "text"]

MAX_NUMBER = 9999
MATH_PATTERN = re.compile(r"([1-9]\d{0,3})([-+*/])([1-9]\d{0,3})")
TEXT_VERBS = ("reverse", "sort", "swap", "drop first", "drop last", "join", "count", "length")
TEXT_PATTERN = re.compile(
    r"(reverse|sort|swap|drop first|drop last|length) ([A-Z]{1,10})"
    r"|(join) ([A-Z]{1,9}) ([A-Z]{1,9})|(count) ([A-Z]) ([A-Z]{1,10})"
)


class UnfitOperation(ValueError):
    """An operation outside the family: not exact, out of range, or not well formed."""


def parse_math(do: str) -> tuple[int, str, int]:
    """The operands and the operator of `347*8`."""
    match = MATH_PATTERN.fullmatch(do)
    if match is None:
        raise UnfitOperation(do)
    return int(match[1]), match[2], int(match[3])


def parse_text(do: str) -> tuple[str, str, str]:
    """The verb, its first and its second argument (empty where it has one) of `join QEX TOM`."""
    match = TEXT_PATTERN.fullmatch(do)
    if match is None:
        raise UnfitOperation(do)
    if match[1]:
        return match[1], match[2], ""
    if match[3]:
        return match[3], match[4], match[5]
    return match[6], match[7], match[8]


def is_math(do: str) -> bool:
    """Whether the operation is arithmetic."""
    return do[0].isdigit()


def evaluate_math(a: int, operator: str, b: int) -> int:
    """The exact result, between 1 and 9999."""
    if operator == "+":
        result = a + b
    elif operator == "-":
        result = a - b
    elif operator == "*":
        if min(a, b) > 9:
            raise UnfitOperation("one factor has one digit")
        result = a * b
    else:
        if b > 9 or b < 2 or a % b:
            raise UnfitOperation("division is exact, by one digit")
        result = a // b
    if not 1 <= result <= MAX_NUMBER:
        raise UnfitOperation("out of range")
    return result


def evaluate_text(verb: str, first: str, second: str) -> str:
    """The exact result of a text operation."""
    if verb == "reverse":
        return first[::-1]
    if verb == "sort":
        return "".join(sorted(first))
    if verb == "length":
        return str(len(first))
    if verb == "count":
        return str(second.count(first))
    if verb == "join":
        if len(first) + len(second) > 10:
            raise UnfitOperation("too long")
        return first + second
    if len(first) < 2:
        raise UnfitOperation("too short")
    if verb == "swap":
        return first[-1] + first[1:-1] + first[0]
    return first[1:] if verb == "drop first" else first[:-1]


def evaluate(do: str) -> str:
    """The result of an operation without references; raises UnfitOperation outside the family."""
    if is_math(do):
        return str(evaluate_math(*parse_math(do)))
    return evaluate_text(*parse_text(do))


def split_key(do: str) -> str:
    """One key for an operation and every operation that shares its fact.

    `a+b`, `b+a`, `c-a` and `c-b` share the addends; `a*b` and `c/b` share the factors; a text operation shares its
    letters with every anagram. So a check by the inverse operation is held out together with the operation.
    """
    if is_math(do):
        a, operator, b = parse_math(do)
        if operator == "-":
            a = a - b
        elif operator == "/":
            a = a // b
        low, high = sorted((a, b))
        return f"{'+' if operator in '+-' else '*'}{low},{high}"
    verb, first, second = parse_text(do)
    letters = second if verb == "count" else first + second
    return "".join(sorted(letters))


def split_of(do: str) -> Split:
    """The part of the data that may use this operation."""
    return split_of_key(split_key(do))
