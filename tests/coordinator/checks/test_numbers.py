from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.checks.numbers import read_number, spelled, split_number, stated_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("84", 84),
        (" -12.50 ", Fraction(-25, 2)),
        ("\u221212", -12),
        ("+.5", Fraction(1, 2)),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("1_000", 1000),
        ("1\u202f000\u00a0000", 1_000_000),
        ("1.2e3", 1200),
        ("10/4", Fraction(5, 2)),
        ("3 1/3", Fraction(10, 3)),
        ("-3 1/3", Fraction(-10, 3)),
    ],
)
def test_numbers_are_read_in_the_ways_that_they_are_written(text: str, value: Fraction) -> None:
    number = read_number(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    "text", ["", "x", "12 34", "1,23", "12,345,6", "1.2.3", "0x10", "1/0", "nan", "inf", "9" * 201]
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("84 pens", 84),
        ("12*7 = 84", 84),
        ("It is 84.", 84),
        ("$1,200.50", Fraction(2401, 2)),
        ("x = 10/3", Fraction(10, 3)),
    ],
)
def test_a_short_text_states_its_only_number(text: str, value: Fraction) -> None:
    number = stated_number(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize("text", ["", "none", "3 or 4", "5-3", "84 of 90", "1 " * 200])
def test_a_text_with_several_numbers_states_none(text: str) -> None:
    assert stated_number(text) is None


def test_what_stands_around_a_number_is_kept() -> None:
    found = split_number("mass = 1,200 kg.")
    assert found is not None
    assert (found[0], found[2]) == ("", "kg.")
    assert found[1].value == 1200
    assert split_number("3 to 4 kg") is None


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_what_is_spelled_is_read_again(units: int, decimals: int) -> None:
    value = Fraction(units, 10**decimals)
    number = read_number(spelled(value))
    assert number is not None
    assert number.value == value


def test_endless_decimals_are_spelled_as_a_ratio() -> None:
    assert spelled(Fraction(10, 3)) == "10/3"
    assert spelled(Fraction(-1, 8)) == "-0.125"


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(text: str) -> None:
    for number in (read_number(text), stated_number(text)):
        assert number is None or isinstance(number.value, Fraction)
