"""The section `ledger`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from appliance.config.section import Section


class LedgerSettings(Section):
    """Where traces are kept."""

    file: Path = Path("ledger.sqlite")
    """SQLite file, below `data_dir` unless absolute."""
    journal_file: Path = Path("journal.sqlite")
    """SQLite file of the requests that are being answered, below `data_dir` unless absolute. After a crash the next
    start makes traces of it."""
    keep_content: bool = False
    """Keep prompts and answers in traces; without it only sizes, times and verdicts are kept."""
    keep_days: int = Field(30, ge=1)
    """Older traces are deleted at start."""
