"""Where the ledger is (a URL from the environment, a file or the settings, or else a SQLite file), and its stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.bootstrap.charging import FleetTerms
from appliance.bootstrap.energy import EnergyLog, EnergySampler
from appliance.bootstrap.upkeep import Upkeep
from appliance.config import Settings
from appliance.domain.fleet import Fleet
from appliance.domain.gpu import Card
from appliance.errors import ConfigError
from appliance.inventory.nvml import energy_j
from appliance.ledger.database import Database
from appliance.ledger.trace_store import TraceStore
from appliance.ledger.usage_store import UsageStore

LEDGER_URL: Final = "APPLIANCE_LEDGER_URL"


@dataclass(frozen=True, slots=True)
class Books:
    """The stores of one open ledger, and what watches the energy for it."""

    usage: UsageStore
    traces: TraceStore
    energy: EnergySampler
    upkeep: Upkeep


def open_books(
    settings: Settings, database: Database, fleet: Fleet, cards: Mapping[str, Card], on_failure: Callable[[], None]
) -> Books:
    """`on_failure` hears of each usage write that failed."""
    energy = EnergyLog()
    usage = UsageStore(database, FleetTerms(settings.ledger.prices, fleet, cards, energy), on_failure)
    traces = TraceStore(database, usage)
    return Books(usage, traces, EnergySampler(fleet, energy, energy_j), Upkeep(traces, usage, settings.ledger))


def ledger_place(settings: Settings, environment: Mapping[str, str]) -> str | Path:
    """A path, or a URL that may hold a password: for `Database` alone. Raises ConfigError."""
    ledger = settings.ledger
    if url := environment.get(LEDGER_URL):
        return url
    if ledger.url_file is not None:
        return _read(settings.below_data_dir(ledger.url_file))
    return ledger.url or settings.below_data_dir(ledger.file)


def existing_place(settings: Settings, environment: Mapping[str, str]) -> str | Path:
    """The same, for those who only look. Raises ConfigError where there is no file, which they would make."""
    place = ledger_place(settings, environment)
    if isinstance(place, Path) and not place.exists():
        raise ConfigError(f"{place}: there is no ledger yet; start the appliance, or name its data_dir or ledger.file")
    return place


def _read(file: Path) -> str:
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"ledger.url_file: {file} can't be read: {type(error).__name__}") from None
    if not url or len(url.split()) > 1:
        raise ConfigError(f"ledger.url_file: {file}: expected one line, postgresql://user:password@host/database")
    return url
