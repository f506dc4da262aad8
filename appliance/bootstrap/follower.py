"""The part of an engine over several nodes that belongs on this one, where another node has the pack's supervisor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from appliance.bootstrap.pack_plan import lineup_of
from appliance.config import Settings
from appliance.engines.command import EngineCommand
from appliance.engines.launcher import vllm_follower
from appliance.errors import ConfigError


def follower(
    settings: Settings, plan: Path, pack: str | None, rank: int, environment: Mapping[str, str]
) -> EngineCommand:
    """What to run here, as the `rank`-th of the engine's nodes. Raises ConfigError, CatalogError, InventoryError."""
    specs = lineup_of(settings, plan, pack).specs((settings.engines.first_port,))
    if len(specs) != 1 or specs[0].span is None:
        raise ConfigError(
            f"{plan}: one engine with a `span` over several nodes is wanted; run `appliance engines` here"
        )
    (spec,) = specs
    span = specs[0].span
    if not 0 < rank < span.nodes:
        raise ConfigError(
            f"--rank {rank}: the engine has {span.nodes} nodes, so 1 to {span.nodes - 1} follow the first"
        )
    cache_dir = settings.data_dir / "cache"
    return vllm_follower(replace(spec, span=replace(span, rank=rank)), settings.engines.python, cache_dir, environment)
