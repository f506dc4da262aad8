"""The section `ledger`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
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


class AuditSettings(Section):
    """The audit chain: who asked for what, and how it ended."""

    mode: Literal["required", "best_effort", "off"] = "required"
    """`required`: no answer leaves before its record is written, and where that fails the caller gets a 503.
    `best_effort`: it leaves all the same, and the chain tells later how many records are missing. `off`: no records."""
    directory: Path = Path("audit")
    """Where the chains' files are, below `data_dir` unless absolute."""
    heads: Path = Path("audit-heads")
    """Where each chain's signed head is, below `data_dir` unless absolute; best on another disk than the chains."""
    key_file: Path = Path("audit-key")
    """Secret of 32 bytes or more, in hexadecimal: signs the heads, and keys the digests of prompts and answers. Below
    `data_dir` unless absolute; made where there is none."""
    sync: Literal["each", "second", "never"] = "second"
    """When records are brought to the disk itself. `each`: before the answer leaves. `second`: within a second, so a
    process that is killed loses nothing, and a machine that loses power may lose the last second. `never`: whenever
    the system does so."""
    segment_bytes: int = Field(256_000_000, ge=10_000)
    """A file that would grow beyond this is followed by the next one."""


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
    audit: AuditSettings = Field(default_factory=lambda: AuditSettings())
    """The audit chain."""
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
