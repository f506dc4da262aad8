"""What a check found, in words, with the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but worse, or with a risk."""
    FAIL = "fail"
    """It will not work, or must not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `way_out` is empty where nothing is to be done."""

    check: str
    level: Level
    says: str
    way_out: str = ""


def ok(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, says)


def warn(check: str, says: str, way_out: str) -> Finding:
    """It could be better."""
    return Finding(check, Level.WARN, says, way_out)


def fail(check: str, says: str, way_out: str) -> Finding:
    """It has to be mended."""
    return Finding(check, Level.FAIL, says, way_out)


def worst(findings: Iterable[Finding]) -> Level:
    """The level of all together."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)
