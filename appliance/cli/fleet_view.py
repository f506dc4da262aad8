"""Engines as a table for the terminal. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.table import Table
from rich.text import Text

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import NO_FIGURES, EngineFigures

GIB = 2**30
UUID_CHARS = 12
"""`GPU-` and the first part of a UUID: enough to tell GPUs apart."""
UNKNOWN = "–"

_STYLES = {
    EngineState.READY: "green",
    EngineState.FAILED: "bold red",
    EngineState.STARTING: "yellow",
    EngineState.WARMING: "yellow",
    EngineState.DRAINING: "yellow",
}
_COLUMNS = ("engine", "state", "on", "GiB (planned)", "KV tokens", "run+wait", "tokens/s", "pid", "")
_RIGHT = frozenset({"GiB (planned)", "KV tokens", "run+wait", "tokens/s"})


def render(engines: Iterable[EngineStatus], figures_of: Callable[[str], EngineFigures] = lambda _: NO_FIGURES) -> Table:
    """One row per engine; a dash for what is not known."""
    table = Table(box=None, pad_edge=False)
    for heading in _COLUMNS:
        table.add_column(heading, header_style="dim", justify="right" if heading in _RIGHT else "left")
    for engine in engines:
        figures = figures_of(engine.engine_id)
        table.add_row(
            engine.engine_id,
            Text(engine.state.value, _STYLES.get(engine.state, "dim")),
            _place(figures),
            f"{_gib(figures.measured_bytes)} ({_gib(figures.planned_bytes)})",
            _number(figures.kv_tokens),
            f"{_number(figures.running_requests)}+{_number(figures.waiting_requests)}",
            UNKNOWN if figures.tokens_per_s is None else f"{figures.tokens_per_s:.1f}",
            UNKNOWN if engine.pid is None else str(engine.pid),
            Text("; ".join(filter(None, (engine.detail, figures.remark))), "dim"),
        )
    return table


def _place(figures: EngineFigures) -> str:
    if figures == NO_FIGURES:
        return UNKNOWN
    return ", ".join(gpu_id[:UUID_CHARS] for gpu_id in figures.gpu_ids) or "CPU"


def _gib(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / GIB:.1f}"


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"
