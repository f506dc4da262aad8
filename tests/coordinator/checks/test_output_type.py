from __future__ import annotations

import pytest

from appliance.coordinator.checks.output_type import OutputType, check_output

FITTING = {
    OutputType.TEXT: ("anything at all", "12"),
    OutputType.NUMBER: ("12", "-1,200.5", "10/3"),
    OutputType.INTEGER: ("12", "-1,200", "12.0"),
    OutputType.BOOLEAN: ("true", "No.", "YES"),
    OutputType.JSON: ('{"a": [1]}', "12", "```\n[1]\n```"),
    OutputType.LIST: ('["a", "b"]', "- a\n- b", "1. a\n2) b", "- a", "a, b", "a; b, c"),
    OutputType.DATE: ("2024-02-29",),
}
UNFITTING = {
    OutputType.NUMBER: ("12 kg", "twelve", ""),
    OutputType.INTEGER: ("12.5", "1/3"),
    OutputType.BOOLEAN: ("maybe", "true or false", "1"),
    OutputType.JSON: ("{a: 1}", "here: {}"),
    OutputType.LIST: ("a", "a\nb", '{"a": 1}', "a,"),
    OutputType.DATE: ("2023-02-29", "29.02.2024", "20240229", "2024-W09-4", "2024-02-29 12:00"),
}


@pytest.mark.parametrize(("output", "result"), [(o, r) for o, results in FITTING.items() for r in results])
def test_results_of_the_type_pass(output: OutputType, result: str) -> None:
    assert check_output(output, result).ok


@pytest.mark.parametrize(("output", "result"), [(o, r) for o, results in UNFITTING.items() for r in results])
def test_other_results_fail_with_what_is_wanted(output: OutputType, result: str) -> None:
    assert check_output(output, result).reason.startswith("the result has to be ")
