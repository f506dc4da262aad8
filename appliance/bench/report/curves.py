"""Latency against rate, as the sweeps of a run have it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from appliance.bench.metrics import values_of
from appliance.bench.objective import Figure
from appliance.bench.records import RequestRecord
from appliance.bench.result import EVERYTHING, Result, Span
from appliance.plots.lines import Line, Mark, Spot, line_chart

FIGURES: Final = (Figure("e2e", "p95"), Figure("ttft", "p95"))
_RESAMPLES: Final = 300
_LEAST_REQUESTS: Final = 5
"""Of fewer no percentile is drawn."""


def latency_chart(result: Result, figure: Figure) -> str:
    """The figure against the rate that was offered: all requests, and each kind. Empty text without a sweep."""
    kinds = (EVERYTHING, *(result.header.kinds if len(result.header.kinds) > 1 else ()))
    spans = [span for span in result.header.phases if span.counts and span.offered_per_s]
    if len(spans) < 2:
        return ""
    lines = [Line(kind or "all", spots) for kind in kinds if (spots := _spots(result, spans, kind, figure))]
    bounds = [one.bound_s for one in result.objectives_of(EVERYTHING) if one.figure == figure]
    limit = Mark(f"objective: {figure.name} ≤ {bounds[0]:g}", bounds[0]) if bounds else None
    top = 4 * bounds[0] if bounds else None
    return line_chart(
        lines,
        "requests offered per second",
        f"{figure.metric.upper()} {figure.statistic}, seconds",
        limit=limit,
        top=top,
    )


def highest_rate_kept(result: Result) -> float | None:
    """The highest offered rate up to which all objectives are kept, those of each kind too; None: not at the lowest."""
    best = None
    for span in _swept(result):
        if _misses(result, span):
            break
        best = span.offered_per_s
    return best


def what_holds(result: Result) -> str:
    """Up to which rate all objectives are kept, and what is missed above it. Empty without objectives or a sweep."""
    swept = _swept(result)
    if len(swept) < 2 or not any(result.header.objectives.values()):
        return ""
    highest = highest_rate_kept(result)
    held = "" if highest is None else f"all objectives are kept up to {highest:.3g} requests a second"
    for span in swept:
        if missed := _misses(result, span):
            at = "at the lowest rate" if highest is None else "then"
            return f"{held}{'; ' if held else ''}{at}, {span.offered_per_s:.3g} a second: {', '.join(missed)}"
    return f"{held}, the highest rate of the sweep"


def _swept(result: Result) -> list[Span]:
    """Phases that count, by the rate that was offered."""
    spans = [span for span in result.header.phases if span.counts and span.offered_per_s]
    return sorted(spans, key=lambda span: span.offered_per_s or 0.0)


def _misses(result: Result, span: Span) -> list[str]:
    """What a phase did not keep, in words."""
    found = []
    for row in (row for row in result.rows() if row.phase == span.name and row.figures.requests):
        if row.kind == EVERYTHING and row.figures.failed:
            found.append(f"{row.figures.failed} of {row.figures.requests} requests failed")
        for kept in row.figures.objectives:
            if not kept.kept:
                figure = kept.objective.figure.name
                value = "no value" if kept.value_s is None else f"{kept.value_s:.3g} s"
                found.append(f"{row.kind or 'all'}: {figure} {value}, not {kept.objective.bound_s:g}")
    return found


def _spots(result: Result, spans: Sequence[Span], kind: str, figure: Figure) -> tuple[Spot, ...]:
    found = []
    for span in spans:
        own = [r for r in result.records if r.phase == span.name and kind in (EVERYTHING, r.kind) and r.ok]
        if len(own) >= _LEAST_REQUESTS and (spot := _spot(span, own, figure, result.header.seed)) is not None:
            found.append(spot)
    return tuple(found)


def _spot(span: Span, records: Sequence[RequestRecord], figure: Figure, seed: int) -> Spot | None:
    values = values_of(figure.metric, records)
    if not len(values):
        return None
    draws = values[np.random.default_rng(seed).integers(0, len(values), size=(_RESAMPLES, len(values)))]
    if figure.statistic == "mean":
        value, drawn = float(values.mean()), draws.mean(axis=1)
    else:
        percent = float(figure.statistic[1:])
        value, drawn = float(np.percentile(values, percent)), np.percentile(draws, percent, axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Spot(span.offered_per_s or 0.0, value, low, high)
