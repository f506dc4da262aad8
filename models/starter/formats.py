"""What the models write: the visible working of executors and of the generalist, and the text of plans."""

import json

from models.starter.problems.draft import Step
from models.starter.problems.operations import evaluate, is_math, parse_math

MARK = ";"


def digits_from_right(number: int, count: int) -> list[int]:
    """The digits, last one first, with leading zeros up to `count`."""
    return [number // 10**i % 10 for i in range(count)]


def addition_working(a: int, b: int) -> str:
    """`7+6=13,4+9+1=14`: from the last digit on, the carry written as `+1`."""
    width = max(len(str(a)), len(str(b)))
    parts, carry = [], 0
    for x, y in zip(digits_from_right(a, width), digits_from_right(b, width), strict=True):
        total = x + y + carry
        parts.append(f"{x}+{y}{'+1' if carry else ''}={total}")
        carry = total // 10
    return ",".join(parts)


def subtraction_working(a: int, b: int) -> str:
    """`3-6=7b,4-2-1=1`: from the last digit on; `b` marks a borrow, which the next digit pays as `-1`."""
    width = len(str(a))
    parts, borrow = [], 0
    for x, y in zip(digits_from_right(a, width), digits_from_right(b, width), strict=True):
        digit = x - y - borrow
        parts.append(f"{x}-{y}{'-1' if borrow else ''}={digit % 10}{'b' if digit < 0 else ''}")
        borrow = int(digit < 0)
    return ",".join(parts)


def multiplication_working(a: int, b: int) -> str:
    """`7*8=56,4*8+5=37`: the longer factor digit by digit from the last one on, the carry added."""
    long, short = (a, b) if b < 10 else (b, a)
    parts, carry = [], 0
    for x in digits_from_right(long, len(str(long))):
        total = x * short + carry
        parts.append(f"{x}*{short}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return ",".join(parts)


def division_working(a: int, b: int) -> str:
    """`2/8=0r2,27/8=3r3`: long division from the first digit on."""
    parts, rest = [], 0
    for digit in str(a):
        part = rest * 10 + int(digit)
        parts.append(f"{part}/{b}={part // b}r{part % b}")
        rest = part % b
    return ",".join(parts)


WORKINGS = {
    "+": addition_working,
    "-": subtraction_working,
    "*": multiplication_working,
    "/": division_working,
}


def math_working(do: str) -> str:
    """The working of an arithmetic operation."""
    a, operator, b = parse_math(do)
    return WORKINGS[operator](a, b)


def executor_answer(do: str) -> str:
    """What an executor writes: arithmetic shows its working, text operations are answered at once."""
    return f"{math_working(do)}{MARK}{evaluate(do)}" if is_math(do) else evaluate(do)


def final_answer(text: str) -> str:
    """What a reader takes from an answer: all that follows the last mark."""
    return text.rsplit(MARK, 1)[-1].strip()


def claim(do: str, result: str) -> str:
    """The verifier's question."""
    return f"{do} = {result}"


def plan_text(steps: list[Step] | tuple[Step, ...]) -> str:
    """A plan as `json.dumps` writes it."""
    return json.dumps({"steps": [{"id": s.id, "skill": s.skill, "do": s.do} for s in steps]})


def resolve(do: str, results: dict[str, str]) -> str:
    """An operation with its references replaced; raises KeyError for a reference to nothing."""
    out, i = [], 0
    while i < len(do):
        if do[i] == "$":
            end = i + 2
            while end < len(do) and do[end].isalnum():
                end += 1
            out.append(results[do[i + 1 : end]])
            i = end
        else:
            out.append(do[i])
            i += 1
    return "".join(out)


def chain_of_thought(steps: list[Step] | tuple[Step, ...]) -> str:
    """The generalist's answer: every operation with its working and result, then the final result."""
    results: dict[str, str] = {}
    parts = []
    for step in steps:
        do = resolve(step.do, results)
        result = evaluate(do)
        results[step.id] = result
        parts.append(f"{do}:{math_working(do)}:{result}" if is_math(do) else f"{do}:{result}")
    return "|".join(parts) + MARK + results[steps[-1].id]


ANSWER_ONLY = " Answer only."
