"""`appliance status`: is it ready, and what do the engines take and do?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

from appliance.cli import fleet_view
from appliance.cli.connection import locate
from appliance.cli.door import RUNTIME_FAILURE
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import EngineFigures, PlanNote


def status(config: ConfigOption = None, url: UrlOption = None, key_file: KeyFileOption = None) -> None:
    """Show the engines of the running appliance. Exit code 1 when one is neither ready nor waiting for its turn."""
    connection = locate(config, url, key_file)
    answer = connection.get("/fleet")
    shown = answer["engines"]
    engines = [_engine(one) for one in shown]
    figures = {one["engine_id"]: _figures(one) for one in shown}
    ready = sum(engine.state is EngineState.READY for engine in engines)
    waiting = sum(engine.awaits_turn for engine in engines)
    console = Console()
    turns = f", {waiting} wait for their turn" if waiting else ""
    console.print(f"{connection.url}  {ready} of {len(engines)} engines ready{turns}")
    console.print(fleet_view.render(engines, figures.__getitem__))
    if answer["plan"] is not None:
        console.print(fleet_view.plan_lines(_plan_note(answer["plan"]), time.time()), soft_wrap=True)
    if ready + waiting < len(engines):
        raise typer.Exit(RUNTIME_FAILURE)


def _engine(shown: Mapping[str, Any]) -> EngineStatus:
    return EngineStatus(
        engine_id=shown["engine_id"],
        model_id=shown["model_id"],
        state=EngineState(shown["state"]),
        base_url=shown["base_url"],
        api_key="",
        max_model_len=shown["max_model_len"],
        max_num_seqs=shown["max_num_seqs"],
        pid=shown["pid"],
        detail=shown["detail"],
        turn_group=shown["turn_group"],
    )


def _plan_note(shown: Mapping[str, Any]) -> PlanNote:
    return PlanNote(shown["made_unix_s"], tuple(shown["why"]), tuple(shown["trouble"]))


def _figures(shown: Mapping[str, Any]) -> EngineFigures:
    """The remark is part of the detail by then."""
    return EngineFigures(
        gpu_ids=tuple(shown["gpu_ids"]),
        planned_bytes=shown["memory_planned_bytes"],
        measured_bytes=shown["memory_measured_bytes"],
        kv_tokens=shown["kv_tokens"],
        running_requests=shown["requests_running"],
        waiting_requests=shown["requests_waiting"],
        tokens_per_s=shown["tokens_per_s"],
    )
