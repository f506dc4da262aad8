from __future__ import annotations

import pytest

from appliance.coordinator.checks.units import check_unit


@pytest.mark.parametrize(
    ("unit", "result"),
    [
        ("kg", "5 kg"),
        ("kg", "5.5 kilograms."),
        ("kilogram", "x = 1,200 kg"),
        ("km/h", "80km/h"),
        ("°C", "-3.5 °C"),
        ("pens", "1 pen"),
        ("EUR", "12.50 eur"),
        ("$", "$84"),
        ("%", "12 %"),
        ("square metres", "3 m²"),
    ],
)
def test_a_number_with_the_unit_passes_however_it_is_spelled(unit: str, result: str) -> None:
    assert check_unit(unit, result).ok


@pytest.mark.parametrize(
    ("unit", "result", "reason"),
    [
        ("kg", "5", "the result is not one number with the unit kg, and nothing else"),
        ("kg", "much", "the result is not one number with the unit kg"),
        ("kg", "5 kg or 6 kg", "the result is not one number with the unit kg"),
        ("kg", "about 5 kg", "the result is not one number with the unit kg, and nothing else"),
        ("kg", "5000 g", "the unit asked for is kg: the result is 5 kg"),
        ("min", "1.5 h", "the unit asked for is min: the result is 90 min"),
        ("°F", "100 °C", "the unit asked for is °F: the result is 212 °F"),
        ("m/s", "36 km/h", "the unit asked for is m/s: the result is 10 m/s"),
        ("kg", "5 m", "the unit asked for is kg, not m"),
        ("pens", "5 cards", "the unit asked for is pens, not cards"),
    ],
)
def test_what_is_wrong_is_told_with_the_converted_value(unit: str, result: str, reason: str) -> None:
    assert check_unit(unit, result).reason == reason
