"""Arithmetic, reckoned exactly: the value of an expression, and whether a result states it."""

from __future__ import annotations

import ast
import re
from fractions import Fraction

from appliance.coordinator.checks.finding import Finding
from appliance.coordinator.checks.numbers import Number, spelled, stated_number
from appliance.coordinator.references import REFERENCE

RULE = "arithmetic"
MOST_CHARS = 400
_MOST_BITS = 4_096
_SIGNS = str.maketrans({"\u2212": "-", "×": "*", "·": "*", "÷": "/"})
_ALLOWED = re.compile(r"[\d\s.+\-*/()]+")
_GROUPS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])")
_ASKED = re.compile(
    r"(?:(?:calculate|compute|evaluate|work out|what is)\b\s*:?\s*)?(.+?)[\s=?.]*", re.IGNORECASE | re.S
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd)
_NODES = (ast.Constant, ast.UnaryOp, ast.BinOp, *_OPERATORS)
_ROUNDED_FROM = 6
"""A value with more decimals than this may be stated rounded, …"""
_LEAST_DECIMALS = 2
"""… to no fewer decimals than this, …"""
_MOST_OFF = Fraction(1, 100)
"""… and no further off than this share of it."""


class NotArithmetic(ValueError):
    """A text is no expression, or its value is none or beyond all bounds."""


def evaluate(expression: str) -> Fraction:
    """The exact value of numbers under + - * / ** (or ^) and parentheses. Raises NotArithmetic."""
    return _value(_parsed(expression), _plain(expression))


def asked_expression(instruction: str) -> str | None:
    """The expression that is all an instruction asks for: `12*7`, `Calculate $s1*7.`, `What is 12*7?`.

    `$id` references stand for numbers. None where there is more to it, such as words, or nothing to reckon.
    """
    if len(instruction) > MOST_CHARS:
        return None
    match = _ASKED.fullmatch(instruction.strip())
    return match[1] if match is not None and _is_expression(REFERENCE.sub("(1)", match[1])) else None


def _is_expression(text: str) -> bool:
    """Whether a text is one, with at least one operation in it, whatever its value."""
    try:
        nodes = tuple(ast.walk(_parsed(text)))
    except NotArithmetic:
        return False
    return any(isinstance(node, ast.BinOp) for node in nodes) and all(isinstance(node, _NODES) for node in nodes)


def check_arithmetic(expression: str, result: str) -> Finding:
    """Whether `result` states the value of `expression`. An expression without a value finds nothing wrong."""
    try:
        exact = evaluate(expression)
    except NotArithmetic:
        return Finding(RULE)
    stated = stated_number(result)
    if stated is None:
        return Finding(RULE, f"the result does not state one number; {expression} is {spelled(exact)}")
    if _agrees(exact, stated):
        return Finding(RULE)
    return Finding(RULE, f"{expression} is {spelled(exact)}, not {spelled(stated.value)}")


def _agrees(exact: Fraction, stated: Number) -> bool:
    """Equal, or the exact value rounded, where it has too many decimals to be written out."""
    if exact == stated.value:
        return True
    if (exact * 10**_ROUNDED_FROM).denominator == 1 or stated.decimals is None or stated.decimals < _LEAST_DECIMALS:
        return False
    off = abs(exact - stated.value)
    return off <= Fraction(1, 2 * 10**stated.decimals) and off <= _MOST_OFF * abs(exact)


def _plain(expression: str) -> str:
    text = expression.translate(_SIGNS).replace("^", "**")
    return _GROUPS.sub(lambda match: match[0].replace(",", ""), text).strip()


def _parsed(expression: str) -> ast.expr:
    text = _plain(expression)
    if len(text) > MOST_CHARS or not _ALLOWED.fullmatch(text):
        raise NotArithmetic("it holds more than numbers, + - * / **, and parentheses, or is too long")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotArithmetic("it is not well formed") from None


def _value(node: ast.expr, text: str) -> Fraction:
    """The tree's value. Literals are read from the text, because Python's own decimals are not exact."""
    if isinstance(node, ast.Constant):
        return _bounded(Fraction((ast.get_source_segment(text, node) or "").strip()))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand, text)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return _bounded(_applied(node.op, _value(node.left, text), _value(node.right, text)))
    raise NotArithmetic("it holds an operation that is not known")


def _applied(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.Div) and right:
        return left / right
    if isinstance(operator, ast.Pow):
        return _power(left, right)
    raise NotArithmetic("it divides by zero, or holds an operation that is not known")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    """Whole exponents only, and none whose result would be huge: the size is known before it is reckoned."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or abs(exponent) * bits > _MOST_BITS or (not base and exponent < 0):
        raise NotArithmetic("a power in it has no exact value, or a huge one")
    return Fraction(base ** int(exponent))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise NotArithmetic("its value is huge")
    return value
