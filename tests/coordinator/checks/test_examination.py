from __future__ import annotations

import pytest

from appliance.coordinator.checks.checks import NO_CHECKS, Checks
from appliance.coordinator.checks.examination import examine
from appliance.coordinator.checks.output_type import OutputType


@pytest.mark.parametrize(
    ("checks", "result", "decided"),
    [
        (NO_CHECKS, "84", None),
        (Checks(output=OutputType.NUMBER), "84", None),
        (Checks(regex="[0-9]+"), "84", None),
        (Checks(unit="kg"), "84 kg", None),
        (Checks(quotes_from=("s1",)), '"two words"', None),
        (Checks(json_schema='{"type": "integer"}'), "84", None),
        (Checks(json_schema='{"type": "integer"}', enough=True), "84", (True, "json_schema")),
        (Checks(regex="[0-9]+", enough=True), "84", (True, "regex")),
        (Checks(arithmetic="12*7"), "84", (True, "arithmetic")),
        (Checks(arithmetic="12*7", unit="kg"), "84 kg", (True, "arithmetic")),
        (Checks(arithmetic="12*7", unit="kg"), "84 g", (False, "unit")),
        (Checks(arithmetic="12*7", unit="kg"), "85 kg", (False, "arithmetic")),
        (Checks(output=OutputType.NUMBER, regex="[0-9]+"), "x", (False, "output")),
        (Checks(quotes_from=("s1",)), '"other words"', (False, "quotes")),
        (Checks(quotes_from=("s1",)), '"asked"', (False, "quotes")),
    ],
)
def test_checks_decide_what_they_can(checks: Checks, result: str, decided: tuple[bool, str] | None) -> None:
    found = examine(checks, result, {"s1": "some two words", "question": "asked"})
    assert (found and (found.right, found.finding.rule)) == decided
    if found and not found.right:
        assert found.finding.reason


def test_references_are_filled_with_numbers_only() -> None:
    checks = Checks(arithmetic="$s1*$s2-$s1")
    assert checks.needs == ("s1", "s2", "s1")
    assert checks.filled({"s1": "-1,200", "s2": "0.5"}).arithmetic == "(-1200)*(1/2)-(-1200)"
    assert checks.filled({"s1": "2+3", "s2": "4"}).arithmetic is None, "a result is a number, never a piece of text"


def test_a_rule_is_inferred_from_the_plan_only_where_it_has_none() -> None:
    assert NO_CHECKS.inferred("Calculate $s1-5.").arithmetic == "$s1-5"
    assert NO_CHECKS.inferred("reverse QEX") == NO_CHECKS
    assert NO_CHECKS.inferred("$s1") == NO_CHECKS
    assert Checks(regex="[0-9]+").inferred("12*7").arithmetic is None
    assert Checks(output=OutputType.INTEGER).inferred("12*7").arithmetic == "12*7"
