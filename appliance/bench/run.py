"""One run of a scenario: from the file to the result."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from appliance.bench import machine
from appliance.bench.connection import Target
from appliance.bench.driver import Limits, Progress
from appliance.bench.processes import Load, drive_apart
from appliance.bench.records import RequestRecord
from appliance.bench.result import EVERYTHING, Header, Result, span_of
from appliance.bench.scenario import Scenario
from appliance.bench.scenario_settings import ErrorBudget
from appliance.bench.schedule import phases_of
from appliance.bench.self_check import SelfCheck
from appliance.bench.trees import tree_figures, tree_of
from appliance.domain.trace import Trace
from appliance.errors import ConfigError, NotFound

MOST_TRACES: Final = 500
"""Of each kind are read, spread over the run: enough for the figures, and soon done."""
_TRACE: Final = TypeAdapter(Trace)

ReadTrace = Callable[[str], bytes]
"""Path → a trace as JSON. Raises NotFound."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the server has: the models' names, and those that a coordinator answers for."""

    models: frozenset[str]
    virtual: frozenset[str]


def run_scenario(
    scenario: Scenario,
    target: Target,
    served: Served,
    *,
    seed: int | None = None,
    processes: int = 1,
    check: SelfCheck | None = None,
    watch: Callable[[Progress], None] | None = None,
    read_trace: ReadTrace | None = None,
) -> Result:
    """Put the load on the server. Raises ConfigError where it lacks a model, NotMeasured where nothing came of it."""
    _has_models(scenario, target, served.models)
    settings = scenario.settings
    seed = settings.seed if seed is None else seed
    phases = phases_of(scenario, seed)
    run_id = f"bench-{secrets.token_hex(4)}"
    limits = Limits(settings.limits.request_s, settings.limits.grace_s)
    load = Load(target, phases, scenario.mix(served.virtual, seed), run_id, limits)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    driven = drive_apart(load, processes=processes, watch=_watching(settings.error_budget, watch))
    header = Header(
        scenario=settings.name,
        digest=scenario.digest,
        seed=seed,
        run_id=run_id,
        url=target.url,
        began=began,
        processes=processes,
        machine=machine.describe(),
        phases=tuple(map(span_of, phases)),
        kinds=tuple(kind.name for kind in settings.mix),
        objectives={EVERYTHING: settings.slo} | {k.name: k.slo for k in settings.mix if k.slo is not None},
        stopped=driven.stopped,
        source=Path(scenario.source).name,
        description=settings.description,
        check=None if check is None else check.as_document(),
    )
    result = Result(header, driven.records)
    trees = {} if read_trace is None else trees_of(result.counting, read_trace)
    return Result(header, driven.records, trees)


def trees_of(records: Sequence[RequestRecord], read_trace: ReadTrace) -> dict[str, Any]:
    """Figures of the trees below the requests, by kind; of requests without a trace there are none."""
    by_kind: dict[str, list[RequestRecord]] = defaultdict(list)
    for record in records:
        if record.ok and record.trace_id:
            by_kind[record.kind].append(record)
    found = {}
    for kind, own in by_kind.items():
        chosen = own[:: -(-len(own) // MOST_TRACES)]
        traces = [trace for record in chosen if (trace := _trace(read_trace, record.trace_id)) is not None]
        if traces:
            found[kind] = tree_figures(list(map(tree_of, traces)), len(chosen) - len(traces)).as_document()
    return found


def _trace(read_trace: ReadTrace, trace_id: str) -> Trace | None:
    try:
        return _TRACE.validate_json(read_trace(f"/v1/traces/{trace_id}"))
    except (NotFound, ValidationError):
        return None  # counted as missing


def _has_models(scenario: Scenario, target: Target, models: Collection[str]) -> None:
    for kind in scenario.settings.mix:
        if kind.model not in models:
            raise ConfigError(
                f"{scenario.source}: mix.{kind.name}.model: {kind.model} is not served at {target.url}; there are "
                f"{', '.join(sorted(models)) or 'no models'}"
            )


def _watching(budget: ErrorBudget | None, watch: Callable[[Progress], None] | None) -> Callable[[Progress], str]:
    def watched(progress: Progress) -> str:
        if watch is not None:
            watch(progress)
        over = progress.answered + progress.failed
        if budget is not None and over >= budget.after and progress.failed > budget.share * over:
            return f"the error budget is used up: {progress.failed} of {over} requests had no answer"
        return ""

    return watched
