"""The section `ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from appliance.config.section import Section


class PriceSettings(Section):
    """What a GPU-hour costs, by the operator's own reckoning. Each call is charged the price at its time."""

    currency: str = Field("EUR", min_length=1, max_length=8)
    """What the prices are in; nothing is converted."""
    per_gpu_hour: float | None = Field(None, ge=0)
    """Price of an hour of one device where nothing below says another. Without any price, usage shows no money."""
    by_gpu: dict[str, float] = Field(default_factory=dict)
    """Price by the GPU's name as `appliance status` and NVML tell it (`NVIDIA L4`), `CPU` for engines without GPU."""
    by_node: dict[str, float] = Field(default_factory=dict)
    """Price by the node's name; wins over the others. This machine is `local`."""

    @model_validator(mode="after")
    def _not_negative(self) -> Self:
        for key, prices in (("by_gpu", self.by_gpu), ("by_node", self.by_node)):
            for name, price in prices.items():
                if not 0 <= price < float("inf"):
                    raise ValueError(f"{key}.{name}: a price is 0 or more")
        return self


class LedgerSettings(Section):
    """Traces, usage and the audit chain: where they are kept, and for how long."""

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
    """Older traces are deleted at start and every hour."""
    keep_usage_days: int = Field(400, ge=1)
    """Older usage rows are deleted likewise. They hold no contents, and outlive the traces."""
    prices: PriceSettings = Field(default_factory=lambda: PriceSettings())
    """What a GPU-hour costs."""

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
