"""Numbers as people and models write them → exact fractions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MOST_CHARS = 200
"""Longer texts are not looked at for a number."""

_GROUPED = r"\d{1,3}(?:[,_'\u00a0\u2009\u202f]\d{3})+(?:\.\d+)?"
_PLAIN = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
_NUMBER = re.compile(rf"[-+]?(?:{_GROUPED}|{_PLAIN})")
_RATIO = re.compile(r"([-+]?)(?:(\d+) +)?(\d+)/(\d+)")
_SEPARATORS = re.compile(r"[,_'\u00a0\u2009\u202f]")


@dataclass(frozen=True, slots=True)
class Number:
    """A number and the decimals that it was written with; None where it is a ratio or has an exponent."""

    value: Fraction
    decimals: int | None = 0


def read_number(text: str) -> Number | None:
    """The number that the whole text is: `-12`, `1,234.50`, `1.2e3`, `10/3`, `3 1/3`; None where it is none."""
    text = _plain(text)
    if len(text) > MOST_CHARS:
        return None
    ratio = _RATIO.fullmatch(text)
    if ratio is not None:
        return _ratio(ratio)
    return _decimal(text) if _NUMBER.fullmatch(text) else None


def stated_number(text: str) -> Number | None:
    """The number that a short text states: all of it, what follows its last `=`, or the only number in that."""
    if len(text) > MOST_CHARS:
        return None
    text = _plain(text).rpartition("=")[2].strip()
    whole = read_number(text.rstrip("."))
    if whole is not None:
        return whole
    found = _NUMBER.findall(text)
    return _decimal(found[0]) if len(found) == 1 and "/" not in text else None


def split_number(text: str) -> tuple[str, Number, str] | None:
    """What stands before the only number of a short text, the number, and what stands after it."""
    if len(text) > MOST_CHARS:
        return None
    text = _plain(text).rpartition("=")[2].strip()
    matches = list(_NUMBER.finditer(text))
    if len(matches) != 1:
        return None
    (match,) = matches
    return text[: match.start()].strip(), _decimal(match[0]), text[match.end() :].strip()


def spelled(value: Fraction) -> str:
    """An exact value as a reader wants it: a whole number, a short decimal, or else a ratio."""
    scaled = value * 10**6
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    sign, whole = "-" if scaled < 0 else "", abs(int(scaled))
    decimals = f"{whole % 10**6:06d}".rstrip("0")
    return f"{sign}{whole // 10**6}{'.' if decimals else ''}{decimals}"


def _plain(text: str) -> str:
    return text.strip().replace("\u2212", "-").replace("\u2011", "-")


def _decimal(text: str) -> Number:
    plain = _SEPARATORS.sub("", text)
    exponent = "e" in plain.lower()
    return Number(Fraction(plain), None if exponent else len(plain.partition(".")[2]))


def _ratio(match: re.Match[str]) -> Number | None:
    sign, whole, numerator, denominator = match.groups()
    if not int(denominator):
        return None
    value = int(whole or 0) + Fraction(int(numerator), int(denominator))
    return Number(-value if sign == "-" else value, None)
