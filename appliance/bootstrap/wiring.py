"""Constructs everything from the settings and hands each part what it needs."""

from __future__ import annotations

from contextlib import ExitStack

from appliance.bootstrap.appliance import Appliance, Parts
from appliance.bootstrap.control_wiring import LauncherMaker, build_control_loop
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.lineup import decide
from appliance.bootstrap.request_wiring import build_request_path, key_file
from appliance.bootstrap.salt import salt_secret
from appliance.bootstrap.server import listen
from appliance.config import Settings
from appliance.domain.fleet import Fleet


def build(settings: Settings, *, make_launcher: LauncherMaker | None = None) -> Appliance:
    """An appliance that holds its data directory and its port, and has started nothing yet.

    Raises AlreadyRunning, ConfigError and CatalogError; nothing is held then.
    """
    with ExitStack() as held:
        held.enter_context(locked(settings.data_dir))
        listener = held.enter_context(listen(settings.server.host, settings.server.port))
        lineup, fleet = decide(settings), Fleet()
        front = build_request_path(lineup, fleet, listener, held, salt_secret=salt_secret(settings))
        engines = build_control_loop(lineup, fleet, held, tally=front.parts.tally, make_launcher=make_launcher)
        return Appliance(
            Parts(
                data_dir=settings.data_dir,
                api_key_file=key_file(settings),
                fleet=fleet,
                front=front,
                engines=engines,
                release=held.pop_all().close,
            )
        )
