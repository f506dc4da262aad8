"""The verifier's working: it checks a claimed result by another route than the executor took."""

from itertools import pairwise

from models.starter.formats import MARK, addition_working, division_working, multiplication_working, subtraction_working
from models.starter.problems.operations import evaluate_text, is_math, parse_math, parse_text

PASS, FAIL = "pass", "fail"


def pair(x: str, y: str) -> str:
    """`33=` or `45!`: two characters and whether they are equal."""
    return f"{x}{y}{'=' if x == y else '!'}"


def pairs(left: str, right: str) -> str:
    """`33=45!`: two strings side by side."""
    return "".join(map(pair, left, right))


def compare(left: str, right: str) -> str:
    """Pairs where the lengths agree, otherwise one `!`."""
    return pairs(left, right) if len(left) == len(right) else "!"


def spelled(code: str) -> str:
    """`1Q2E3X`: a code with positions, so that letters can be found by number."""
    return "".join(f"{i}{letter}" for i, letter in enumerate(code, 1)) or "_"


def math_check(do: str, result: str) -> str:
    """Undoes the operation on the claimed result and compares with the first operand."""
    a, operator, b = parse_math(do)
    if not (result.isdigit() and 1 <= len(result) <= 4 and result[0] != "0"):
        return "!"
    c = int(result)
    if operator == "+":
        if c <= b:
            return "!"
        return f"{subtraction_working(c, b)}:{c - b}:{compare(str(c - b), str(a))}"
    if operator == "-":
        return f"{addition_working(c, b)}:{c + b}:{compare(str(c + b), str(a))}"
    if operator == "/":
        return f"{multiplication_working(c, b)}:{c * b}:{compare(str(c * b), str(a))}"
    long, short = (a, b) if b < 10 else (b, a)
    if short == 1:
        return compare(result, str(long))
    if c % short:
        return f"{division_working(c, short)}!"
    return f"{division_working(c, short)}:{c // short}:{compare(str(c // short), str(long))}"


def positions_after(verb: str, length: int) -> list[tuple[int, int]]:
    """Which position of the source (first) must stand at which position of the result (second), from 1."""
    n = length
    if verb == "reverse":
        return [(i, n + 1 - i) for i in range(1, n + 1)]
    if verb == "swap":
        return [(i, n if i == 1 else 1 if i == n else i) for i in range(1, n + 1)]
    if verb == "drop first":
        return [(i, i - 1) for i in range(2, n + 1)]
    last = n if verb == "join" else n - 1
    return [(i, i) for i in range(1, last + 1)]


def sort_check(code: str, result: str) -> str:
    """Neighbours in order, and each letter as often on both sides."""
    order = "".join(f"{x}{y}{'<' if x <= y else '!'}" for x, y in pairwise(result))
    counts = ""
    for letter in code:
        left, right = code.count(letter), result.count(letter)
        counts += f"{letter}{left}{right}{'=' if left == right else '!'}"
    return f"{order}:{counts}"


def running_count(letter: str, code: str) -> str:
    """`QA0EA0AA1`: the letters of a code, each beside the letter that is counted, with the count so far."""
    out, count = "", 0
    for x in code:
        count += x == letter
        out += f"{x}{letter}{count}"
    return out


def text_check(do: str, result: str) -> str:
    """Spells both sides with positions and compares letter by letter; counts again for numbers.

    In `2O1TO!` the source has O at 2, the result T at 1; the O comes again beside the T, where a small model sees at
    once whether they are equal.
    """
    verb, first, second = parse_text(do)
    if verb in ("length", "count"):
        working = spelled(first) if verb == "length" else running_count(first, second)
        return f"{working}:{compare(evaluate_text(verb, first, second), result)}"
    source = first + second
    expected = len(source) - (1 if verb.startswith("drop") else 0)
    spelling = f"{spelled(source)}:{spelled(result)}:"
    if len(result) != expected:
        return spelling + "!"
    if verb == "sort":
        return spelling + sort_check(source, result)
    return spelling + "".join(
        f"{i}{source[i - 1]}{j}{pair(result[j - 1], source[i - 1])}" for i, j in positions_after(verb, len(source))
    )


def verifier_answer(do: str, result: str) -> str:
    """The working and the verdict."""
    working = math_check(do, result) if is_math(do) else text_check(do, result)
    return f"{working}{MARK}{FAIL if '!' in working else PASS}"
