"""The verbs of the command line, each read when it is wanted: `up` needs the whole house, `status` hardly anything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer

from appliance.cli.door import DoorGroup

VERBS: Final[Mapping[str, str]] = {
    "up": "up:up",
    "serve": "serve:serve",
    "engines": "engines:engines",
    "worker": "worker:worker",
    "ask": "ask:ask",
    "status": "status:status",
    "plan": "plan:plan",
    "usage": "usage:usage",
    "doctor": "doctor:doctor",
    "trace": "trace:commands",
    "audit": "audit:commands",
    "config": "config:commands",
    "models": "models:commands",
    "bundle": "bundle:commands",
    "tenants": "tenants:commands",
    "keys": "keys:commands",
    "policy": "policy:commands",
    "chart": "chart:commands",
    "capacity": "capacity:commands",
    "eval": "eval:commands",
    "router": "router:commands",
    "bench": "bench:commands",
}
"""Verb → module of `appliance.cli`, and what in it is the verb: a function, or a group of verbs."""

_HIDDEN: Final = frozenset({"worker"})


class Verbs(DoorGroup):
    """The outermost group. Only listing them reads all."""

    def __init__(self, **known: Any) -> None:
        super().__init__(**known)
        self.commands = dict.fromkeys(VERBS)  # type: ignore[assignment]  # names alone, which it looks for typos in

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which they are met."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of this name, or None."""
        return _read(cmd_name) if cmd_name in VERBS else None


def _read(verb: str) -> Any:
    module, _, name = VERBS[verb].partition(":")
    found = getattr(import_module(f"appliance.cli.{module}"), name)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(hidden=verb in _HIDDEN)(found)
        command = typer.main.get_command(alone)
    command.name = verb
    return command
