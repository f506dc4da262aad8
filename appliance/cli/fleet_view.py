"""Engines as a table for the terminal. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from appliance.domain.engine import EngineState, EngineStatus

_STYLES = {
    EngineState.READY: "green",
    EngineState.FAILED: "bold red",
    EngineState.STARTING: "yellow",
    EngineState.WARMING: "yellow",
    EngineState.DRAINING: "yellow",
}


def render(engines: Iterable[EngineStatus]) -> Table:
    """One row per engine."""
    table = Table(box=None, pad_edge=False)
    for heading in ("engine", "model", "state", "pid", "url", ""):
        table.add_column(heading, header_style="dim")
    for engine in engines:
        table.add_row(
            engine.engine_id,
            engine.model_id,
            Text(engine.state.value, _STYLES.get(engine.state, "dim")),
            "" if engine.pid is None else str(engine.pid),
            engine.base_url,
            Text(engine.detail, "dim"),
        )
    return table
