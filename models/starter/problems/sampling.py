"""Draws single operations and code words at random from one part of the data."""

import random

from models.starter.problems.operations import MAX_NUMBER, UnfitOperation, evaluate, split_of
from models.starter.problems.splits import Split

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
VOWELS = "AEIOU"
MATH_OPERATORS = "+-*/"
ONE_CODE_VERBS = ("reverse", "sort", "swap", "drop first", "drop last", "length")


def draw_code(rng: random.Random, low: int = 3, high: int = 7) -> str:
    """A code of `low` to `high` letters: random letters, or pronounceable, sometimes with letters that come twice."""
    length = rng.randint(low, high)
    kind = rng.random()
    if kind < 0.5:
        return "".join(rng.choices(LETTERS, k=length))
    if kind < 0.8:
        first = rng.random() < 0.3
        return "".join(rng.choice(VOWELS if (i % 2 == 1) != first else LETTERS) for i in range(length))
    few = rng.sample(LETTERS, k=max(2, length - 2))
    return "".join(rng.choices(few, k=length))


def draw_number(rng: random.Random, high: int = MAX_NUMBER) -> int:
    """A number with the number of digits drawn first, so that short ones are not rare."""
    top = min(high, 10 ** rng.randint(1, len(str(high))) - 1)
    return rng.randint(max(2, top // 10), max(2, top))


def draw_math(rng: random.Random, operator: str | None = None) -> str:
    """An arithmetic operation of the family, from any part of the data."""
    operator = operator or rng.choice(MATH_OPERATORS)
    if operator == "+":
        a = draw_number(rng, MAX_NUMBER - 2)
        b = draw_number(rng, MAX_NUMBER - a)
        return f"{a}+{b}" if rng.random() < 0.5 else f"{b}+{a}"
    if operator == "-":
        b = draw_number(rng, MAX_NUMBER - 2)
        a = draw_number(rng, MAX_NUMBER - b)
        return f"{a + b}-{b}" if rng.random() < 0.5 else f"{a + b}-{a}"
    b = rng.randint(2, 9)
    a = draw_number(rng, MAX_NUMBER // b)
    if operator == "/":
        return f"{a * b}/{b}"
    return f"{a}*{b}" if rng.random() < 0.6 else f"{b}*{a}"


def draw_text(rng: random.Random, verb: str | None = None) -> str:
    """A text operation of the family, from any part of the data."""
    verb = verb or rng.choice((*ONE_CODE_VERBS, "join", "count", "reverse", "sort"))
    if verb == "join":
        first = draw_code(rng, 2, 6)
        return f"join {first} {draw_code(rng, 2, min(6, 10 - len(first)))}"
    code = draw_code(rng, 2 if rng.random() < 0.15 else 3, 10 if rng.random() < 0.15 else 8)
    if verb == "count":
        letter = rng.choice(code) if rng.random() < 0.8 else rng.choice(LETTERS)
        return f"count {letter} {code}"
    return f"{verb} {code}"


def draw_operation(rng: random.Random, skill: str, split: Split, kind: str | None = None) -> str:
    """An operation of one skill from one part of the data."""
    while True:
        do = draw_math(rng, kind) if skill == "math" else draw_text(rng, kind)
        try:
            evaluate(do)
        except UnfitOperation:
            continue
        if split_of(do) == split:
            return do
