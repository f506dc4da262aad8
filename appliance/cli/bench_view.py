"""Results of loads in the terminal, and comparisons as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.bench.comparison import Judged, Ratio
from appliance.bench.driver import Progress
from appliance.bench.metrics import Figures, Summary
from appliance.bench.report.curves import what_holds
from appliance.bench.result import Result, Row
from appliance.bench.self_check import MOST_BIAS_S, REQUIRED_CHUNKS_S, SelfCheck

_LATENCIES = (
    ("ttft", "TTFT", ("p50", "p95")),
    ("itl", "ITL", ("mean",)),
    ("e2e", "E2E", ("mean", "p50", "p95", "p99")),
)


def counts(progress: Progress) -> str:
    """How far it is."""
    failed = f" · [red]{progress.failed} failed[/]" if progress.failed else ""
    return (
        f"{progress.answered} answered · {progress.in_flight} under way{failed} · {progress.tokens} pieces of answers"
    )


def tables(result: Result) -> RenderableType:
    """Figures by phase and kind, trees by kind, then objectives, errors and the generator itself."""
    rows = list(result.rows())
    parts: list[RenderableType] = [_figures(result, rows)]
    if result.trees:
        parts += [_trees(result), _roles(result)]
    parts += [Text(line, style=style) for line, style in _notes(result, rows)]
    return Group(*parts)


def _figures(result: Result, rows: Sequence[Row]) -> Table:
    table = Table(title=f"{result.header.scenario}: milliseconds, and what came through")
    table.add_column("phase", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    headings = [f"{name} {statistic}" for _, name, statistics in _LATENCIES for statistic in statistics]
    for heading in ("requests", "failed", *headings, "req/s", "tok/s", "good/s", "GPU-s"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.figures.requests:
            style = "bold" if not row.phase else "" if not row.kind else "dim"
            table.add_row(row.phase or "all that count", row.kind or "all", *_cells(row.figures), style=style)
    return table


def _cells(figures: Figures) -> list[str]:
    cells = [str(figures.requests), str(figures.failed or "")]
    for metric, _, statistics in _LATENCIES:
        cells += [_ms(figures.metrics.get(metric), statistic) for statistic in statistics]
    gpu_s = "" if figures.gpu_s_per_request is None else f"{figures.gpu_s_per_request:.3g}"
    rates = (figures.request_throughput_per_s, figures.output_token_throughput_per_s, figures.goodput_per_s)
    return [*cells, *(f"{rate:.3g}" for rate in rates[:1]), f"{rates[1]:.0f}", f"{rates[2]:.3g}", gpu_s]


def _ms(summary: Summary | None, statistic: str) -> str:
    return "" if summary is None else f"{1000 * float(getattr(summary, statistic)):.1f}"


def _trees(result: Result) -> Table:
    table = Table(title="Trees: what a request takes below the door")
    for heading in ("kind", "trees", "calls", "at once", "path calls", "path ms p50", "p95", "in line ms p50", "p95"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    table.add_column("of latency", justify="right")
    for kind, tree in result.trees.items():
        means = (f"{tree[name]['mean']:.2f}" for name in ("fan_out", "width", "path_calls"))
        times = (f"{1000 * tree[name][at]:.1f}" for name in ("path_s", "path_queue_s") for at in ("p50", "p95"))
        table.add_row(kind, str(tree["trees"]), *means, *times, f"{tree['path_share']:.0%}")
    return table


def _roles(result: Result) -> Table:
    table = Table(title="By role: milliseconds of one call")
    for heading in ("kind", "role", "calls/request", "in line p50", "p95", "first token p50", "engine p50", "p95"):
        table.add_column(heading, justify="left" if heading in ("kind", "role") else "right")
    table.add_column("tokens out", justify="right")
    table.add_column("GPU-s/request", justify="right")
    for kind, tree in result.trees.items():
        for role, own in tree["roles"].items():
            wanted = (("queue_s", "p50"), ("queue_s", "p95"), ("first_token_s", "p50"), ("engine_s", "p50"))
            times = [f"{1000 * own[name][at]:.1f}" for name, at in (*wanted, ("engine_s", "p95"))]
            tokens = f"{own['completion_tokens']['mean']:.1f}"
            table.add_row(
                kind, role, f"{own['calls_per_request']:.2f}", *times, tokens, f"{own['gpu_s_per_request']:.3g}"
            )
    return table


def _notes(result: Result, rows: Sequence[Row]) -> list[tuple[str, str]]:
    found = []
    for row in rows:
        where = f"{row.phase or 'all that count'}{f', {row.kind}' if row.kind else ''}"
        for kept in row.figures.objectives if row.figures.requests else ():
            found.append((f"{'✓' if kept.kept else '✗'} {where}: {kept.words}", "green" if kept.kept else "red"))
        if not row.phase and not row.kind:
            found += [(f"{number} × {error}", "red") for error, number in row.figures.errors.items()]
            lag = row.figures.metrics["lag"]
            found.append((f"the generator was late by {_ms(lag, 'p50')} ms at p50, {_ms(lag, 'p99')} at p99", "dim"))
    if holds := what_holds(result):
        found.append((holds, "bold"))
    check = result.header.check
    if check is None:
        found.append(("unchecked: nobody knows what the generator itself added", "yellow"))
    else:
        bias = f"{1000 * check['ttft_bias_p50_s']:.2f} ms at {REQUIRED_CHUNKS_S:,} chunks a second"
        found.append((f"of TTFT the generator adds {bias}; it takes in up to {check['highest_chunks_s']:,}", "dim"))
    return found


def self_check(check: SelfCheck) -> RenderableType:
    """Rate by rate."""
    table = Table(title=f"The load generator itself, {check.processes} process(es)")
    for heading in ("chunks/s wanted", "taken in", "TTFT bias p50 ms", "p99 ms", ""):
        table.add_column(heading, justify="right")
    for reading in check.readings:
        table.add_row(
            f"{reading.wanted_chunks_s:,.0f}",
            f"{reading.chunks_s:,.0f}",
            f"{1000 * reading.ttft_bias_p50_s:.3f}",
            f"{1000 * reading.ttft_bias_p99_s:.3f}",
            "✓" if reading.holds else "✗",
        )
    last = f"highest rate that holds: {check.highest_chunks_s:,.0f} chunks a second (bias ≤ {1000 * MOST_BIAS_S:g} ms)"
    return Group(table, Text(last))


def comparison(found: Sequence[Ratio], verdicts: Sequence[Judged]) -> RenderableType:
    """Ratios, then gates."""
    table = Table(title="Second ÷ first")
    for heading in ("figure", "first", "second", "ratio", "95% interval"):
        table.add_column(heading, justify="left" if heading == "figure" else "right", no_wrap=True)
    for ratio in found:
        interval = "" if ratio.low is None or ratio.high is None else f"{ratio.low:.3f}–{ratio.high:.3f}"
        apart = ratio.low is not None and ratio.high is not None and not ratio.low <= 1 <= ratio.high
        cells = (f"{ratio.first:.4g}", f"{ratio.second:.4g}", f"{ratio.value:.3f}", interval)
        table.add_row(ratio.name, *cells, style="bold" if apart else "")
    lines = [
        Text(f"{'✓' if verdict.passed else '✗'} {verdict.gate.text}", style="green" if verdict.passed else "red")
        for verdict in verdicts
    ]
    return Group(table, *lines)


def comparison_document(
    first: Result, second: Result, found: Sequence[Ratio], verdicts: Sequence[Judged]
) -> dict[str, Any]:
    """For scripts."""
    return {
        "first": {"scenario": first.header.scenario, "run_id": first.header.run_id, "digest": first.header.digest},
        "second": {"scenario": second.header.scenario, "run_id": second.header.run_id, "digest": second.header.digest},
        "ratios": [ratio.as_document() for ratio in found],
        "gates": [
            {"gate": verdict.gate.text, "passed": verdict.passed, "certain": verdict.certain} for verdict in verdicts
        ],
    }
