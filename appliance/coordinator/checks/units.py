"""Units of measure: a number with the unit that was asked for, and what the same quantity is in that unit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from appliance.coordinator.checks.finding import Finding
from appliance.coordinator.checks.numbers import spelled, split_number

RULE = "unit"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its dimension, and how it becomes the dimension's base: value * factor + offset."""

    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


def _units(dimension: str, spellings: dict[str, str]) -> dict[str, Unit]:
    """`spellings`: factor → names separated by spaces; a name of several words has `_` between them."""
    return {
        name.replace("_", " "): Unit(dimension, Fraction(factor))
        for factor, names in spellings.items()
        for name in names.split()
    }


_TABLE: dict[str, Unit] = {
    **_units(
        "length",
        {
            "1": "m meter meters metre metres",
            "1000": "km kilometer kilometers kilometre kilometres",
            "1/10": "dm decimeter decimeters decimetre decimetres",
            "1/100": "cm centimeter centimeters centimetre centimetres",
            "1/1000": "mm millimeter millimeters millimetre millimetres",
            "1/1000000": "µm um micrometer micrometers micrometre micrometres",
            "0.0254": "in inch inches",
            "0.3048": "ft foot feet",
            "0.9144": "yd yard yards",
            "1609.344": "mi mile miles",
            "1852": "nmi nautical_mile nautical_miles",
        },
    ),
    **_units(
        "mass",
        {
            "1": "g gram grams gramme grammes",
            "1000": "kg kilogram kilograms kilogramme kilogrammes kilo kilos",
            "1/1000": "mg milligram milligrams",
            "1/1000000": "µg ug microgram micrograms",
            "1000000": "t tonne tonnes metric_ton metric_tons",
            "453.59237": "lb lbs pound pounds",
            "28.349523125": "oz ounce ounces",
        },
    ),
    **_units(
        "time",
        {
            "1": "s sec secs second seconds",
            "1/1000": "ms millisecond milliseconds",
            "1/1000000": "µs us microsecond microseconds",
            "60": "min mins minute minutes",
            "3600": "h hr hrs hour hours",
            "86400": "d day days",
            "604800": "wk week weeks",
        },
    ),
    **_units(
        "volume",
        {
            "1": "l liter liters litre litres dm³ dm3",
            "1/1000": "ml milliliter milliliters millilitre millilitres cm³ cm3",
            "1/100": "cl centiliter centiliters centilitre centilitres",
            "1000": "m³ m3 cubic_meter cubic_meters cubic_metre cubic_metres",
            "3.785411784": "gal gallon gallons",
        },
    ),
    **_units(
        "area",
        {
            "1": "m² m2 square_meter square_meters square_metre square_metres",
            "10000": "ha hectare hectares",
            "1000000": "km² km2 square_kilometer square_kilometers square_kilometre square_kilometres",
            "1/10000": "cm² cm2 square_centimeter square_centimeters square_centimetre square_centimetres",
            "0.09290304": "ft² ft2 square_foot square_feet",
        },
    ),
    **_units(
        "speed",
        {
            "1": "m/s meters_per_second metres_per_second",
            "5/18": "km/h kph kmh kilometers_per_hour kilometres_per_hour",
            "0.44704": "mph miles_per_hour",
            "463/900": "kn knot knots",
        },
    ),
    **_units(
        "data",
        {
            "1": "b byte bytes",
            "1000": "kb kilobyte kilobytes",
            "1000000": "mb megabyte megabytes",
            "1000000000": "gb gigabyte gigabytes",
            "1000000000000": "tb terabyte terabytes",
            "1024": "kib kibibyte kibibytes",
            "1048576": "mib mebibyte mebibytes",
            "1073741824": "gib gibibyte gibibytes",
            "1099511627776": "tib tebibyte tebibytes",
        },
    ),
    **_units("energy", {"1": "j joule joules", "1000": "kj", "3600000": "kwh", "3600": "wh", "4184": "kcal"}),
    **_units("power", {"1": "w watt watts", "1000": "kw kilowatt kilowatts", "1000000": "megawatt megawatts"}),
    **_units("share", {"1": "% percent per_cent"}),
    **_units("angle", {"1": "° deg degree degrees"}),
    "k": Unit("temperature", Fraction(1)),
    "kelvin": Unit("temperature", Fraction(1)),
    **dict.fromkeys(("°c", "celsius", "degrees celsius"), Unit("temperature", Fraction(1), Fraction("273.15"))),
    **dict.fromkeys(
        ("°f", "fahrenheit", "degrees fahrenheit"),
        Unit("temperature", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
    ),
}
"""By name in lower case. Units whose short names differ by case only are not told apart; spell them out."""


def check_unit(wanted: str, result: str) -> Finding:
    """Whether `result` is one number with the unit `wanted`, however that is spelled.

    A unit that the table does not know (`pens`, `EUR`) has to stand there as it is, up to case and a plural's s.
    """
    quantity = split_number(result)
    if quantity is None:
        return Finding(RULE, f"the result is not one number with the unit {wanted}")
    before, number, after = quantity
    given = after.rstrip(".") or before
    if (before and after) or not given:
        return Finding(RULE, f"the result is not one number with the unit {wanted}, and nothing else")
    if _same(wanted, given):
        return Finding(RULE)
    converted = _converted(number.value, given, wanted)
    if converted is None:
        return Finding(RULE, f"the unit asked for is {wanted}, not {given}")
    return Finding(RULE, f"the unit asked for is {wanted}: the result is {spelled(converted)} {wanted}")


def _same(wanted: str, given: str) -> bool:
    first, second = _TABLE.get(_name(wanted)), _TABLE.get(_name(given))
    if first is not None or second is not None:
        return first == second
    return _name(wanted).rstrip("s") == _name(given).rstrip("s")


def _converted(value: Fraction, given: str, wanted: str) -> Fraction | None:
    """The quantity in the unit `wanted`; None across dimensions."""
    source, target = _TABLE.get(_name(given)), _TABLE.get(_name(wanted))
    if source is None or target is None or source.dimension != target.dimension:
        return None
    return (value * source.factor + source.offset - target.offset) / target.factor


def _name(unit: str) -> str:
    return " ".join(unit.replace("\u03bc", "µ").split()).lower()
