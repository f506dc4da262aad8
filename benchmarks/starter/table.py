"""The comparison as a terminal table."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.starter.evaluation import ORCHESTRATED, Comparison


def render(comparison: Comparison) -> RenderableType:
    """Right answers by number of steps, tokens, calls and seconds, one row a way; p-values below."""
    steps = sorted({a.steps for a in comparison.attempts[ORCHESTRATED]})
    table = Table(title="Right answers by number of steps (0: no working needed)")
    table.add_column("way", no_wrap=True)
    for number in steps:
        table.add_column(str(number), justify="right", no_wrap=True)
    for name in ("all", "95% CI", "tokens", "output", "calls", "p50 s", "p95 s"):
        table.add_column(name, justify="right")
    for way in comparison.attempts:
        table.add_row(way, *(_share(comparison.summary(way, steps=n)) for n in steps), *_totals(comparison, way))
    ways = [way for way in comparison.attempts if way != ORCHESTRATED]
    notes = [f"{ORCHESTRATED} against {way}: p = {comparison.p_value(ORCHESTRATED, way):.2g} (McNemar)" for way in ways]
    return Group(table, Text("\n".join(notes)))


def _share(summary: dict[str, float]) -> str:
    return f"{100 * summary['share']:.0f}%"


def _totals(comparison: Comparison, way: str) -> tuple[str, ...]:
    total = comparison.summary(way)
    low, high = total["interval_95"]
    return (
        f"{100 * total['share']:.1f}%",
        f"{100 * low:.1f}–{100 * high:.1f}",
        f"{total['tokens_per_problem']:.0f}",
        f"{total['completion_tokens_per_problem']:.0f}",
        f"{total['calls_per_problem']:.1f}",
        f"{total['seconds_p50']:.2f}",
        f"{total['seconds_p95']:.2f}",
    )
