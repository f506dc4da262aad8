"""How well the memory model foretells real starts, beside the common rule weights × 1.2 + 2 GiB.

`python benchmarks/memory_accuracy.py [--cases FILE] [--geometry FILE] [--record FILE]`. For the shipped cases each
start is foretold with constants fitted without its model (`benchmarks/memory_fit.py`); for a file of one's own the
shipped constants are used as they are. The last line is for scripts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # also run as a plain script
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from appliance.domain.gpu import Card  # noqa: E402
from appliance.errors import ConfigError  # noqa: E402
from appliance.placement.memory import EngineMemory, Fits, available_kv, engine_memory  # noqa: E402
from appliance.placement.overhead import FITTED, OverheadConstants  # noqa: E402
from benchmarks import machine  # noqa: E402
from benchmarks.kv_cases import DEFAULT_CASES, DEFAULT_GEOMETRY, GIB, Case, load_cases  # noqa: E402
from benchmarks.memory_fit import by_model, by_publisher, cross_validated, observations, shape_of  # noqa: E402

RULE_FACTOR, RULE_BYTES = 1.2, 2 * GIB


@dataclass(frozen=True, slots=True)
class Row:
    """One case foretold. Errors are shares: foretold ÷ measured − 1; None where the log does not allow the check.

    `says_fits` is the model's promise, `did_fit` what happened: the pool held one request of the full length.
    `broken_promise`: the promised tokens were more than there were, at whatever length.
    """

    case_id: str
    weights_error: float | None
    kv_error: float | None
    rule_kv_error: float | None
    says_fits: bool | None
    rule_says_fits: bool | None
    did_fit: bool | None
    broken_promise: bool | None
    complete: bool
    skipped: str = ""

    @property
    def false_fit(self) -> bool:
        """Promised to fit, and did not."""
        return bool(self.says_fits) and self.did_fit is False

    @property
    def rule_false_fit(self) -> bool:
        """The common rule's false promise."""
        return bool(self.rule_says_fits) and self.did_fit is False


def foretell(case: Case, constants: OverheadConstants) -> Row:
    """What the model and the common rule say of `case`, beside what its log says."""
    if case.geometry is None:
        return _skipped(case, case.geometry_problem)
    card = Card(case.gpu_name, case.gpu_bytes or 80 * GIB)
    try:
        memory = engine_memory(case.geometry, shape_of(case), card, constants=constants)
    except ValueError as error:
        return _skipped(case, str(error))
    weights_error = memory.weights_bytes / case.weights_bytes - 1 if case.weights_bytes else None
    if not case.gpu_bytes or not case.gpu_memory_utilization:
        return Row(case.case_id, weights_error, None, None, None, None, None, None, case.complete, "GPU size unknown")
    outcome = available_kv(memory, card, case.gpu_memory_utilization)
    rule_tokens = memory.layout.tokens(_rule_kv_bytes(case, memory))
    measured = case.kv_tokens or (memory.layout.tokens(case.kv_bytes) if case.kv_bytes else None)
    promised = outcome.promised_kv_tokens if isinstance(outcome, Fits) else 0
    return Row(
        case_id=case.case_id,
        weights_error=weights_error,
        kv_error=outcome.kv_tokens / measured - 1 if measured else None,
        rule_kv_error=rule_tokens / measured - 1 if measured else None,
        says_fits=isinstance(outcome, Fits) if case.max_model_len else None,
        rule_says_fits=_rule_kv_bytes(case, memory) > 0,
        did_fit=_did_fit(case, memory, measured),
        broken_promise=promised > measured if measured else None,
        complete=case.complete,
    )


def _skipped(case: Case, why: str) -> Row:
    return Row(case.case_id, None, None, None, None, None, None, None, case.complete, why)


def _rule_kv_bytes(case: Case, memory: EngineMemory) -> float:
    """Per GPU: the budget less the rule's total for the whole model, spread over its GPUs."""
    ranks = case.tensor_parallel_size * case.pipeline_parallel_size
    budget = (case.gpu_memory_utilization or 0) * (case.gpu_bytes or 0)
    return budget - RULE_FACTOR * memory.weights_bytes - RULE_BYTES / ranks


def _did_fit(case: Case, memory: EngineMemory, measured: int | None) -> bool | None:
    """vLLM's own criterion: the pool holds one request of the full length."""
    if case.refused:
        return False
    if case.kv_bytes is None or case.max_model_len is None:
        return None if measured is None or case.max_model_len is None else measured >= case.max_model_len
    return case.kv_bytes >= memory.layout.request_bytes(case.max_model_len, memory.step_tokens)


def foretell_all(cases: Sequence[Case], held_out: Callable[[Case], str] | None = None) -> list[Row]:
    """All cases; with `held_out`, each with constants that never saw a case of its group (model or publisher)."""
    constants: dict[str, OverheadConstants] = {}
    if held_out is not None:
        pairs = cross_validated(observations(cases), held_out)
        constants = {item.case.case_id: fitted for item, fitted in pairs}
    return [foretell(case, constants.get(case.case_id, FITTED)) for case in cases]


def summary(rows: Sequence[Row]) -> dict[str, float | int]:
    """The figures of the last lines, and those of the common rule."""
    errors = [abs(row.kv_error) for row in rows if row.kv_error is not None]
    rule = [abs(row.rule_kv_error) for row in rows if row.rule_kv_error is not None]
    weights = [abs(row.weights_error) for row in rows if row.weights_error is not None]
    complete = [abs(row.kv_error) for row in rows if row.kv_error is not None and row.complete]
    started = [row for row in rows if row.did_fit and row.says_fits is not None]
    return {
        "median_kv_error": median(errors) if errors else float("nan"),
        "max_kv_error": max(errors, default=float("nan")),
        "median_kv_error_complete": median(complete) if complete else float("nan"),
        "false_fits": sum(row.false_fit for row in rows),
        "cases": len(errors),
        "broken_promises": sum(bool(row.broken_promise) for row in rows),
        "started": len(started),
        "started_and_promised": sum(bool(row.says_fits) for row in started),
        "median_weights_error": median(weights) if weights else float("nan"),
        "max_weights_error": max(weights, default=float("nan")),
        "weights_within_1_percent": sum(error <= 0.01 for error in weights),
        "weights_cases": len(weights),
        "rule_median_kv_error": median(rule) if rule else float("nan"),
        "rule_max_kv_error": max(rule, default=float("nan")),
        "rule_false_fits": sum(row.rule_false_fit for row in rows),
    }


def table_of(rows: Sequence[Row]) -> Table:
    """One line per case."""
    table = Table()
    table.add_column("case", no_wrap=True, min_width=32)
    for heading in ("weights", "KV tokens", "common rule", "promise", "did"):
        table.add_column(heading)
    table.add_column("note", no_wrap=True, max_width=60)
    for row in rows:
        note = row.skipped or ("more promised than there was" if row.broken_promise else "")
        table.add_row(
            row.case_id,
            _percent(row.weights_error),
            _percent(row.kv_error),
            _percent(row.rule_kv_error),
            _word(row.says_fits),
            _word(row.did_fit),
            note,
        )
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f}%"


def _word(fits: bool | None) -> str:
    return "" if fits is None else "fits" if fits else "no"


def report(console: Console, rows: Sequence[Row], label: str) -> dict[str, float | int]:
    """Print the figures of one way to foretell."""
    figures = summary(rows)
    console.print(
        f"{label}: KV tokens off by {figures['median_kv_error']:.1%} (median), {figures['max_kv_error']:.1%} (worst); "
        f"{figures['started_and_promised']} of {figures['started']} starts promised, "
        f"{figures['broken_promises']} promises of more tokens than there were"
    )
    return figures


def _label_of_others(cases: Sequence[Case]) -> str:
    """Says so where some of the cases are those that the constants were fitted to."""
    fitted = {case.case_id for case in load_cases(DEFAULT_CASES)} & {case.case_id for case in cases}
    if fitted:
        return f"shipped constants, fitted to {len(fitted)} of these {len(cases)} cases"
    return "shipped constants, cases not fitted to"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 2 for a bad file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=DEFAULT_CASES)
    parser.add_argument("--geometry", type=Path, default=DEFAULT_GEOMETRY)
    parser.add_argument("--record", type=Path, help="also write the figures and the machine to this JSON file")
    options = parser.parse_args(arguments)
    try:
        cases = load_cases(options.cases, options.geometry)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shipped = options.cases.resolve() == DEFAULT_CASES.resolve()
    console = Console(width=150, highlight=False)
    rows = foretell_all(cases, by_model if shipped else None)
    console.print(table_of(rows))
    label = "one model left out of each fit" if shipped else _label_of_others(cases)
    figures = {label: report(console, rows, label)}
    if shipped:
        strict, in_sample = "one publisher left out of each fit", "in-sample (all cases fitted)"
        figures[strict] = report(console, foretell_all(cases, by_publisher), strict)
        figures[in_sample] = report(console, foretell_all(cases), in_sample)
    final = figures[label]
    console.print(
        f"common rule weights × 1.2 + 2 GiB: {final['rule_median_kv_error']:.1%} (median), "
        f"{final['rule_max_kv_error']:.1%} (worst), {final['rule_false_fits']} false fits\n"
        f"weights: {final['weights_within_1_percent']} of {final['weights_cases']} within 1%, "
        f"median {final['median_weights_error']:.2%}, worst {final['max_weights_error']:.1%}; "
        f"median KV error of the complete cases {final['median_kv_error_complete']:.1%}"
    )
    if options.record:
        record = {"machine": machine.describe(), "figures": figures, "rows": [asdict(row) for row in rows]}
        options.record.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(
        f"median_kv_error={final['median_kv_error']:.4f} max_kv_error={final['max_kv_error']:.4f} "
        f"false_fits={final['false_fits']} cases={final['cases']}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
