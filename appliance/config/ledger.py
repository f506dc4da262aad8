"""The section `ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from appliance.config.section import Section


class LedgerSettings(Section):
    """Where traces are kept."""

    file: Path = Path("ledger.sqlite")
    """SQLite file, below `data_dir` unless absolute. Not used where there is a `url`."""
    url: str | None = None
    """PostgreSQL instead of a file: `postgresql://user@host/database`, without a password. A URL that holds one comes
    from `url_file` or from the environment variable APPLIANCE_LEDGER_URL, which wins over both."""
    url_file: Path | None = None
    """File whose only line is the URL, password included; it is read at start."""
    journal_file: Path = Path("journal.sqlite")
    """SQLite file of the requests that are being answered, below `data_dir` unless absolute. After a crash the next
    start makes traces of it."""
    keep_content: bool = False
    """Keep prompts and answers in traces; without it only sizes, times and verdicts are kept."""
    keep_days: int = Field(30, ge=1)
    """Older traces are deleted at start."""

    @model_validator(mode="after")
    def _one_place_without_a_password(self) -> Self:
        if self.url is None:
            return self
        if self.url_file is not None:
            raise ValueError("url and url_file: two places; leave one out")
        if _holds_password(self.url):
            raise ValueError(
                "url: holds a password, which does not belong into a configuration; write the URL into a file that "
                "only the appliance may read and name it with url_file, or set APPLIANCE_LEDGER_URL"
            )
        return self


def _holds_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password=" in parts.query
    except ValueError:
        return "@" in url
