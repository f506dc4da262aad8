"""Constructs everything from the settings and hands each part what it needs."""

from __future__ import annotations

from contextlib import ExitStack

from appliance.bootstrap.access import key_file
from appliance.bootstrap.appliance import Appliance, Parts
from appliance.bootstrap.control_wiring import LauncherMaker, build_control_loop
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.front import build_front
from appliance.bootstrap.lineup import decide
from appliance.config import Settings
from appliance.domain.fleet import Fleet


def build(settings: Settings, *, make_launcher: LauncherMaker | None = None, log_to_stderr: bool = False) -> Appliance:
    """An appliance that holds its data directory and its port, and has started nothing yet.

    `log_to_stderr` is for its workers, where it has several.
    Raises AlreadyRunning, ConfigError and CatalogError; nothing is held then.
    """
    with ExitStack() as held:
        held.enter_context(locked(settings.data_dir))
        lineup, fleet = decide(settings), Fleet()
        built = build_front(lineup, fleet, held, log_to_stderr=log_to_stderr)
        engines = build_control_loop(lineup, fleet, held, tally=built.tally, make_launcher=make_launcher)
        return Appliance(
            Parts(
                data_dir=settings.data_dir,
                api_key_file=key_file(settings),
                fleet=fleet,
                front=built.front,
                engines=engines,
                release=held.pop_all().close,
            )
        )
