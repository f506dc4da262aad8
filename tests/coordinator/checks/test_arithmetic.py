from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.checks.arithmetic import NotArithmetic, asked_expression, check_arithmetic, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12*7", 84),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("0.1+0.2", Fraction(3, 10)),
        ("10/4", Fraction(5, 2)),
        ("-2**2", -4),
        ("2^10", 1024),
        ("2**3**2", 512),
        ("2**-2", Fraction(1, 4)),
        ("5--3", 8),
        ("1,200 × 3 − 1", 3599),
        ("7 ÷ 2", Fraction(7, 2)),
        ("(-79)+84", 5),
        ("-" * 398 + "1", 1),
    ],
)
def test_values_are_exact(expression: str, value: Fraction) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "",
            "()",
            "1+",
            "1 2",
            "3(4)",
            "a+1",
            "__import__('os')",
            "1//2",
            "7%2",
            "1,2+3",
            "[1]",
            "1;2",
            "1 if 1 else 2",
        ),
        *("1/0", "0**-1", "2**0.5", "9**9**9", "2**5000", "9" * 401, "(" * 300 + "1"),
    ],
)
def test_what_has_no_value_or_a_huge_one_is_refused(expression: str) -> None:
    with pytest.raises(NotArithmetic):
        evaluate(expression)


@pytest.mark.parametrize(
    ("instruction", "expression"),
    [
        ("12*7", "12*7"),
        ("$s1-5", "$s1-5"),
        ("Calculate $sZoe * (3 + 4).", "$sZoe * (3 + 4)"),
        ("What is 12*7?", "12*7"),
        ("12*7 = ?", "12*7"),
        ("0.5*3.", "0.5*3"),
    ],
)
def test_an_instruction_may_be_an_expression(instruction: str, expression: str) -> None:
    assert asked_expression(instruction) == expression


@pytest.mark.parametrize(
    "instruction",
    [
        "12",
        "$s1",
        "-5",
        "reverse QEX",
        "12*7 rounded to tens",
        "Add 3 and 4",
        "3$s1",
        "$s1$s2",
        "$s1 $s2",
        "1+1 " * 200,
    ],
)
def test_an_instruction_with_more_to_it_is_none(instruction: str) -> None:
    assert asked_expression(instruction) is None


@pytest.mark.parametrize("result", ["84", "84.0", "84 pens", "12*7 = 84", "84."])
def test_a_result_that_states_the_value_passes(result: str) -> None:
    assert check_arithmetic("12*7", result).ok


def test_what_is_wrong_is_told_with_the_value() -> None:
    assert check_arithmetic("12*7", "85").reason == "12*7 is 84, not 85"
    assert check_arithmetic("12*7", "85").rule == "arithmetic"
    assert check_arithmetic("12*7", "many").reason == "the result does not state one number; 12*7 is 84"


@pytest.mark.parametrize(
    ("expression", "result", "ok"),
    [
        ("10/3", "3.33", True),
        ("10/3", "3.3333", True),
        ("10/3", "10/3", True),
        ("10/3", "3.3", False),
        ("10/3", "3.34", False),
        ("1/8", "0.125", True),
        ("1/8", "0.13", False),
        ("1/3000", "0.00", False),
        ("1/3000", "0.000333", True),
        ("2/3", "0.67", True),
        ("2/3", "0.66", False),
    ],
)
def test_endless_decimals_may_be_rounded_to_two_and_more(expression: str, result: str, ok: bool) -> None:
    assert check_arithmetic(expression, result).ok is ok


def test_an_expression_without_a_value_finds_nothing_wrong() -> None:
    assert check_arithmetic("5/(3-3)", "0").ok


@given(st.integers(0, 9999), st.sampled_from("+-*"), st.integers(0, 9999), st.integers(-3, 3))
def test_agrees_with_whole_numbers(a: int, operator: str, b: int, off: int) -> None:
    exact = {"+": a + b, "-": a - b, "*": a * b}[operator]
    assert check_arithmetic(f"{a}{operator}{b}", str(exact + off)).ok is (off == 0)


@given(st.text(alphabet="0123456789.+-*/()^ ", max_size=60))
def test_any_expression_has_a_value_or_is_refused(expression: str) -> None:
    try:
        value = evaluate(expression)
    except NotArithmetic:
        return
    assert value.numerator.bit_length() <= 4_096
