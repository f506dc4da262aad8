"""The strategies of a configuration: those of the house, and those that it names by their place in the code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import iscoroutinefunction

from appliance.config import Settings
from appliance.coordinator.strategies import default_strategies
from appliance.coordinator.strategies.strategy import Strategy
from appliance.errors import ConfigError


def load_strategies(settings: Settings) -> Mapping[str, Strategy]:
    """Name → strategy. Raises ConfigError that names the file and the key."""
    own = {name: _loaded(settings, name, path) for name, path in settings.coordinator.strategies.items()}
    return default_strategies(own)


def _loaded(settings: Settings, name: str, path: str) -> Strategy:
    key = f"{settings.source}: coordinator.strategies.{name}"
    module, _, attribute = path.partition(":")
    try:
        strategy: Strategy = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"{key}: {path} can't be made: {error}") from None
    if not iscoroutinefunction(getattr(strategy, "answer", None)):
        raise ConfigError(f"{key}: {path} has no `async def answer(self, run)`; see docs/strategies.md")
    return strategy
