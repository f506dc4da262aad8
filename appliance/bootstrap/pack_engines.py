"""The engines of a pack as they run here, and the part of one that this node runs for a group of nodes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from appliance.bootstrap.lineup import Lineup, decide
from appliance.bootstrap.pack_plan import lineup_of
from appliance.bootstrap.pool import verify
from appliance.config import Settings
from appliance.domain.engine import EngineGroup, EngineSpec
from appliance.engines.command import EngineCommand
from appliance.engines.launcher import vllm_commands
from appliance.errors import ConfigError


def lineup_here(settings: Settings, plan: Path | None, pack: str | None) -> Lineup:
    """What pack `pack` of `plan` says, or what `up` would start here.

    Raises ConfigError, CatalogError and InventoryError.
    """
    lineup = decide(settings) if plan is None else lineup_of(settings, plan, pack)
    if settings.cluster.group.size > 1 and len(lineup.engine_ids) != 1:
        raise ConfigError(
            f"cluster.group.size: a group of {settings.cluster.group.size} nodes runs one engine, but there are "
            f"{len(lineup.engine_ids)}: {', '.join(lineup.engine_ids)}; name a pack with one engine"
        )
    return lineup


def placed(settings: Settings) -> Callable[[EngineSpec], EngineSpec]:
    """Engines where they run: on a node that may be called otherwise than in the plan, perhaps together with others."""
    said, node = settings.cluster.group, settings.cluster.door.node
    group = None if said.leader is None or said.size == 1 else EngineGroup(said.size, said.rank, said.leader, said.port)
    return lambda spec: replace(spec, node=spec.node if node is None else node, group=group)


def member_command(settings: Settings, plan: Path | None, pack: str | None) -> EngineCommand:
    """What a node of a group runs that is not its leader, in the place of this process. Checks the weights first.

    Raises ConfigError, CatalogError and InventoryError.
    """
    lineup = lineup_here(settings, plan, pack)
    verify(settings, lineup.served)
    engines = settings.engines
    command = vllm_commands(engines.python, settings.data_dir.resolve() / "cache", os.environ, engines.drain_timeout_s)
    spec = replace(lineup.specs((engines.first_port,))[0], host=settings.cluster.door.engine_host)
    return command(placed(settings)(spec), secrets.token_urlsafe(32))
