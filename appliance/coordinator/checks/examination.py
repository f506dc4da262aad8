"""Holds a result against its checks, before any model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.coordinator.checks.arithmetic import check_arithmetic
from appliance.coordinator.checks.checks import NO_CHECKS, Checks
from appliance.coordinator.checks.finding import Finding
from appliance.coordinator.checks.json_values import check_json_schema, check_regex
from appliance.coordinator.checks.output_type import check_output
from appliance.coordinator.checks.quotes import check_quotes
from appliance.coordinator.checks.units import check_unit


@dataclass(frozen=True, slots=True)
class Decided:
    """The checks say it all: the result is `right`, or wrong for the finding's reason. The finding's rule decided."""

    right: bool
    finding: Finding


def examine(checks: Checks, result: str, sources: Mapping[str, str]) -> Decided | None:
    """What the checks decide; None where they pass but do not prove the result right.

    `sources` are the texts that quotations may come from, by id. The first check that fails decides. When none does,
    arithmetic proves the result, and so does a form where `enough` says that form is all that is asked for.
    """
    if checks is NO_CHECKS:
        return None
    passed = []
    for finding in _findings(checks, result, sources):
        if not finding.ok:
            return Decided(False, finding)
        passed.append(finding)
    if checks.arithmetic is not None or checks.enough:
        return Decided(True, passed[-1])
    return None


def _findings(checks: Checks, result: str, sources: Mapping[str, str]) -> Iterator[Finding]:
    """Cheap ones first, the one that proves most last."""
    if checks.output is not None:
        yield check_output(checks.output, result)
    if checks.quotes_from:
        yield check_quotes(result, {name: sources[name] for name in checks.quotes_from})
    if checks.unit is not None:
        yield check_unit(checks.unit, result)
    if checks.regex is not None:
        yield check_regex(checks.regex, result)
    if checks.json_schema is not None:
        yield check_json_schema(checks.json_schema, result)
    if checks.arithmetic is not None:
        yield check_arithmetic(checks.arithmetic, result)
