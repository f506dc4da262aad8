"""Wrong results made on purpose: the kinds of errors that executors make."""

import random

from models.starter.problems.sampling import LETTERS


def corrupt_number(rng: random.Random, number: str) -> str:
    """Another number that looks like the right one: a digit off, a carry lost, digits swapped, lost or doubled."""
    i = rng.randrange(len(number))
    kind = rng.random()
    if kind < 0.35:
        return number[:i] + rng.choice("0123456789") + number[i + 1 :]
    if kind < 0.65:
        return str(max(0, int(number) + rng.choice((-1, 1)) * rng.choice((1, 1, 2, 10, 10, 100, 1000))))
    if kind < 0.75 and len(number) > 1:
        j = min(i, len(number) - 2)
        return number[:j] + number[j + 1] + number[j] + number[j + 2 :]
    if kind < 0.85 and len(number) > 1:
        return number[:i] + number[i + 1 :]
    return number[:i] + number[i] + number[i:]


def corrupt_code(rng: random.Random, code: str, source: str) -> str:
    """Another code that looks like the right one: a letter replaced, neighbours swapped, one lost, doubled or moved."""
    i = rng.randrange(len(code))
    kind = rng.random()
    if kind < 0.3 and len(code) > 1:
        j = min(i, len(code) - 2)
        return code[:j] + code[j + 1] + code[j] + code[j + 2 :]
    if kind < 0.5:
        return code[:i] + rng.choice(source or LETTERS) + code[i + 1 :]
    if kind < 0.6:
        return code[:i] + rng.choice(LETTERS) + code[i + 1 :]
    if kind < 0.75 and len(code) > 1:
        return code[:i] + code[i + 1 :]
    if kind < 0.9:
        return code[:i] + code[i] + code[i:]
    letter = rng.choice(code)
    without = code.replace(letter, "", 1)
    j = rng.randrange(len(without) + 1)
    return without[:j] + letter + without[j:]


def corrupt(rng: random.Random, result: str, source: str) -> str:
    """A result that differs from the right one and is not empty."""
    for _ in range(100):
        wrong = corrupt_number(rng, result) if result.isdigit() else corrupt_code(rng, result, source)
        if wrong and wrong != result and not (len(wrong) > 1 and wrong[0] == "0"):
            return wrong
    return result + result[-1]


def scramble(rng: random.Random, result: str, source: str) -> str:
    """A result of the same length that is wrong in several places, so that a check cannot guess what it will find."""
    for _ in range(20):
        if result.isdigit():
            wrong = rng.choice("123456789") + "".join(rng.choices("0123456789", k=len(result) - 1))
        elif rng.random() < 0.6:
            wrong = "".join(rng.sample(result, k=len(result)))
        else:
            wrong = "".join(rng.choice(LETTERS) if rng.random() < 0.4 else letter for letter in result)
        if wrong != result:
            return wrong
    return corrupt(rng, result, source)
