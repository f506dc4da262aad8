"""A comparison of targets in the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.evaluation.comparison import EVERYTHING, Advice, Comparison, Row
from appliance.evaluation.run_file import Run

_STYLES = {Advice.ORCHESTRATE: "bold green", Advice.SINGLE: "bold blue", Advice.UNKNOWN: "bold yellow"}


def as_document(run: Run, comparison: Comparison, gpu_hour_price: float | None) -> dict[str, Any]:
    """For scripts."""
    header = run.header
    return {
        "suite": header.suite,
        "suite_digest": header.suite_digest,
        "targets": list(header.targets),
        "repeats": header.repeats,
        "seed": header.seed,
        "about": dict(header.about),
        "rows": [row.as_document(gpu_hour_price) for row in comparison.rows],
        "verdicts": [verdict.as_document() for verdict in comparison.verdicts],
        "judge_agreement": comparison.judge_agreement,
        "notes": list(comparison.notes),
    }


def tables(comparison: Comparison, gpu_hour_price: float | None) -> RenderableType:
    """Quality by class, then cost, fan-out and verdicts."""
    everything = [row for row in comparison.rows if row.task_class == EVERYTHING]
    parts: list[RenderableType] = [_quality(comparison, everything), _cost(everything, gpu_hour_price)]
    parts += [_words(comparison)]
    if comparison.judge_agreement is not None:
        parts.append(
            Text(f"the judge said the same in both orders for {comparison.judge_agreement:.0%} of the answers")
        )
    parts += [Text(note) for note in comparison.notes]
    return Group(*parts)


def _quality(comparison: Comparison, everything: list[Row]) -> Table:
    classes = list(dict.fromkeys(row.task_class for row in comparison.rows))
    table = Table(title="Quality")
    table.add_column("target", no_wrap=True)
    for name in classes:
        table.add_column(name, justify="right")
    table.add_column("95% interval", justify="right", no_wrap=True)
    for row in everything:
        shares = [f"{100 * comparison.row(row.target, name).quality.mean:.1f}%" for name in classes]
        table.add_row(row.target, *shares, f"{100 * row.quality.low:.1f}–{100 * row.quality.high:.1f}")
    return table


def _cost(everything: list[Row], gpu_hour_price: float | None) -> Table:
    table = Table(title="What a task takes")
    table.add_column("target", no_wrap=True)
    for name in ("GPU-s", *(("money",) if gpu_hour_price else ()), "p50 s", "p95 s", "tokens", "calls", "by role"):
        table.add_column(name, justify="right" if name != "by role" else "left")
    for row in everything:
        count = max(1, row.tasks)
        roles = ", ".join(f"{role} {calls / count:.1f}" for role, calls in row.cost.calls_by_role.items())
        money = (f"{row.gpu_s * gpu_hour_price / 3600:.3g}",) if gpu_hour_price else ()
        seconds = (f"{row.seconds_p50:.2f}", f"{row.seconds_p95:.2f}")
        fan_out = (f"{row.cost.tokens / count:.0f}", f"{row.cost.calls / count:.1f}", roles)
        table.add_row(row.target, f"{row.gpu_s:.3g}", *money, *seconds, *fan_out)
    return table


def _words(comparison: Comparison) -> RenderableType:
    lines = []
    for verdict in comparison.verdicts:
        lines.append(
            Text.assemble(
                f"{verdict.task_class}: ",
                (verdict.advice.value, _STYLES[verdict.advice]),
                f" (p = {verdict.difference.p_value:.2g}). {verdict.words}",
            )
        )
    return Group(*lines) if lines else Text("no verdict: it needs an orchestrated target and a single model")
