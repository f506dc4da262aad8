"""Latency against rate, as the sweeps of a run have it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from appliance.bench.metrics import values_of
from appliance.bench.objective import Figure
from appliance.bench.records import RequestRecord
from appliance.bench.result import EVERYTHING, Result, Span
from appliance.plots.frame import plain
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
    sweep = _sweep(result)
    kept = _kept(sweep)
    return sweep[kept - 1][0] if kept else None


def what_holds(result: Result) -> str:
    """Up to which rate all objectives are kept, and what is missed above it. Empty without objectives or a sweep."""
    sweep = _sweep(result)
    kept = _kept(sweep)
    if len(sweep) < 2 or not any(result.header.objectives.values()):
        return ""
    held = f"all objectives are kept up to {plain(sweep[kept - 1][0])} requests a second" if kept else ""
    if kept == len(sweep):
        return f"{held}, the highest rate of the sweep"
    rate, missed = sweep[kept]
    return f"{held + '; then' if held else 'at the lowest rate'}, {plain(rate)} a second: {'; '.join(missed)}"


def _kept(sweep: Sequence[tuple[float, list[str]]]) -> int:
    """How many rates, from the lowest on, miss nothing."""
    return next((number for number, (_, missed) in enumerate(sweep) if missed), len(sweep))


def _sweep(result: Result) -> list[tuple[float, list[str]]]:
    """The offered rates of the phases that count, from the lowest on, and what was missed at each, in words."""
    rates = {span.name: span.offered_per_s for span in result.header.phases if span.counts and span.offered_per_s}
    missed: dict[str, list[str]] = {name: [] for name in rates}
    for row in result.rows():
        if row.phase not in rates or not row.figures.requests:
            continue
        if row.kind == EVERYTHING and row.figures.failed:
            missed[row.phase].append(f"{row.figures.failed} of {row.figures.requests} requests failed")
        missed[row.phase] += [f"{row.kind or 'all'}: {one.words}" for one in row.figures.objectives if not one.kept]
    return sorted((rate, missed[name]) for name, rate in rates.items())


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
