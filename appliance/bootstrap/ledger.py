"""Where the ledger is: a URL from the environment, a file or the settings, or else a SQLite file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.config import Settings
from appliance.errors import ConfigError

LEDGER_URL: Final = "APPLIANCE_LEDGER_URL"


def ledger_place(settings: Settings, environment: Mapping[str, str]) -> str | Path:
    """A path, or a URL that may hold a password: for `Database` alone. Raises ConfigError."""
    ledger = settings.ledger
    if url := environment.get(LEDGER_URL):
        return url
    if ledger.url_file is not None:
        return _read(settings.below_data_dir(ledger.url_file))
    return ledger.url or settings.below_data_dir(ledger.file)


def _read(file: Path) -> str:
    try:
        url = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"ledger.url_file: {file} can't be read: {type(error).__name__}") from None
    if not url or len(url.split()) > 1:
        raise ConfigError(f"ledger.url_file: {file}: expected one line, postgresql://user:password@host/database")
    return url
