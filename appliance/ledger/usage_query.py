"""What a usage report asks: which calls, and by what they are summed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, case, cast, distinct, func, select

from appliance.errors import InvalidRequest
from appliance.ledger.schema import usage

_S_PER_HOUR = 3_600.0


class GroupBy(StrEnum):
    """What usage can be summed by. A day is one of UTC."""

    TENANT = "tenant"
    MODEL = "model"
    ROLE = "role"
    STRATEGY = "strategy"
    ENGINE = "engine"
    NODE = "node"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Sums over the calls of one group; `group` has a value for each key of the query.

    `requests` are distinct ones. `gpu_s` device-seconds; `energy_j` is None where no call's was measured, `cost` where
    none had a price: it is in `currency`, at the prices of the time of use. `estimated_calls` are those whose engine
    did not get to tell their tokens.
    """

    group: dict[str, str]
    requests: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    gpu_s: float
    energy_j: float | None
    cost: float | None
    currency: str
    estimated_calls: int


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Calls begun at `since_unix_s` or later and before `until_unix_s`, of one tenant or (None) of all."""

    by: tuple[GroupBy, ...]
    since_unix_s: float | None = None
    until_unix_s: float | None = None
    tenant: str | None = None

    def lines(self, connection: Connection) -> tuple[UsageLine, ...]:
        """The report, in the order of its groups; lines of one group have different currencies."""
        rows = connection.execute(self.statement(connection.dialect.name)).mappings().all()
        keys = [key.value for key in self.by]
        return tuple(
            UsageLine(
                group={key: str(row[f"by_{key}"]) for key in keys},
                **{name: value for name, value in row.items() if not name.startswith("by_")},
            )
            for row in rows
        )

    def statement(self, dialect: str) -> Select[tuple[Any, ...]]:
        """One row for each group."""
        groups = [_column(key, dialect).label(f"by_{key.value}") for key in self.by]
        tokens = [usage.c.prompt_tokens, usage.c.completion_tokens, usage.c.cached_tokens]
        query = select(
            *groups,
            func.count(distinct(usage.c.trace_id)).label("requests"),
            func.count().label("calls"),
            *(cast(func.sum(column), BigInteger).label(column.name) for column in tokens),
            func.sum(usage.c.gpu_s).label("gpu_s"),
            func.sum(usage.c.energy_j).label("energy_j"),
            func.sum(usage.c.gpu_s * usage.c.price_per_gpu_hour / _S_PER_HOUR).label("cost"),
            usage.c.currency,
            func.sum(case((usage.c.usage_estimated, 1), else_=0)).label("estimated_calls"),
        )
        if self.since_unix_s is not None:
            query = query.where(usage.c.started_unix_s >= self.since_unix_s)
        if self.until_unix_s is not None:
            query = query.where(usage.c.started_unix_s < self.until_unix_s)
        if self.tenant is not None:
            query = query.where(usage.c.tenant == self.tenant)
        return query.group_by(*groups, usage.c.currency).order_by(*groups, usage.c.currency)


def parse_groups(wanted: str) -> tuple[GroupBy, ...]:
    """`tenant,model` → what to sum by. Raises InvalidRequest."""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    known = [key.value for key in GroupBy]
    for name in names:
        if name not in known:
            raise InvalidRequest(f"by: {name[:100]!r} is nothing to sum by; use some of {', '.join(known)}", param="by")
    return tuple(GroupBy(name) for name in dict.fromkeys(names))


def _column(key: GroupBy, dialect: str) -> ColumnElement[Any]:
    if key is not GroupBy.DAY:
        return usage.c[key.value]
    began = usage.c.started_unix_s
    if dialect == "sqlite":
        return func.strftime("%Y-%m-%d", began, "unixepoch")
    return func.to_char(func.timezone("UTC", func.to_timestamp(began)), "YYYY-MM-DD")
