"""Calibrations of verifiers as a table for the terminal. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from appliance.evaluation.calibration import Calibration, OperatingPoint
from appliance.evaluation.intervals import Share

_HEADINGS = ("verifier", "task class", "right", "wrong", "threshold", "false accepts", "false rejects", "ECE")


def table(calibrations: Sequence[Calibration]) -> Table:
    """Two lines each: the threshold that counted until now, and the one that was found."""
    shown = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        shown.add_column(heading, header_style="dim", justify="left" if heading in _HEADINGS[:2] else "right")
    for calibration in calibrations:
        before = calibration.before
        facts = (
            calibration.verifier,
            calibration.task_class,
            str(before.false_rejects.of),
            str(before.false_accepts.of),
        )
        shown.add_row(*facts, *_point(before), f"{calibration.error:.3f}", style="dim")
        if calibration.chosen is None:
            shown.add_row("", Text("none found", "yellow"))
        else:
            shown.add_row("", Text("calibrated", "green"), "", "", *_point(calibration.chosen), "")
    return shown


def refusals(calibrations: Sequence[Calibration]) -> tuple[str, ...]:
    """Why there is no threshold, a line for each that has none."""
    return tuple(f"{c.verifier}, {c.task_class}: {c.refusal}" for c in calibrations if c.refusal)


def _point(point: OperatingPoint) -> tuple[str, str, str]:
    return f"{point.threshold:.3f}", _share(point.false_accepts), _share(point.false_rejects)


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.2%} ({low:.2%}–{high:.2%})"
