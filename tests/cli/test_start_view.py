"""The start of the engines on the screen."""

from __future__ import annotations

import io

from rich.console import Console

from appliance.cli.start_view import StartView
from appliance.domain.engine import EngineState
from appliance.domain.fleet import Fleet
from tests.gateway.door import engine


def test_line_per_engine_where_there_is_no_terminal() -> None:
    screen = io.StringIO()
    with StartView(Console(file=screen), Fleet()) as view:
        view.progress("math-0", EngineState.STARTING, 0.0, "")
        view.progress("math-0", EngineState.READY, 1.26, "")
        view.progress("text-0", EngineState.FAILED, 2.0, "no [kernel]")
    assert screen.getvalue() == "engine math-0 ready after 1.3 s\nengine text-0 failed after 2.0 s: no [kernel]\n"


def test_table_on_a_terminal() -> None:
    screen, fleet = io.StringIO(), Fleet()
    with StartView(Console(file=screen, force_terminal=True, width=120), fleet) as view:
        fleet.publish((engine("starter-planner"),))
        view.progress("starter-planner-0", EngineState.READY, 1.0, "")
    assert "starter-planner-0" in screen.getvalue()
    assert "ready" in screen.getvalue()
