"""Engines as a table for the terminal. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.table import Table
from rich.text import Text

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import NO_FIGURES, EngineFigures, PlanNote

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


def plan_lines(note: PlanNote, now_unix_s: float) -> Text:
    """When and why the plan was made, and what speaks against it."""
    lines = Text(f"plan made {_ago(now_unix_s - note.made_unix_s)} ago: {'; '.join(note.why)}", "dim")
    for trouble in note.trouble:
        lines.append(f"\n! {trouble}", "yellow")
    return lines


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def _place(figures: EngineFigures) -> str:
    if figures == NO_FIGURES:
        return UNKNOWN
    return ", ".join(gpu_id[:UUID_CHARS] for gpu_id in figures.gpu_ids) or "CPU"


def _gib(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / GIB:.1f}"


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"
