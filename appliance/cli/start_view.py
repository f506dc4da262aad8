"""The start of the engines on the screen: a live table on a terminal, a line per engine elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from appliance.cli import fleet_view
from appliance.domain.engine import EngineState
from appliance.domain.fleet import Fleet

_PER_SECOND = 4


class StartView:
    """Shows `fleet` while it starts; `progress` is for the supervisor."""

    def __init__(self, console: Console, fleet: Fleet) -> None:
        self._console = console
        self._fleet = fleet
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._table, refresh_per_second=_PER_SECOND, transient=False
            )
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def progress(self, engine_id: str, state: EngineState, seconds: float, detail: str) -> None:
        """News of one engine."""
        if self._live is None and state in {EngineState.READY, EngineState.FAILED}:
            said = f": {detail}" if detail and state is EngineState.FAILED else ""
            line = f"engine {engine_id} {state.value} after {seconds:.1f} s{said}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        return fleet_view.render(self._fleet.snapshot.engines, self._fleet.figures_of)
