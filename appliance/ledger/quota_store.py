"""Shares of tenants' limits, and what was spent of their months, in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from appliance.domain.sharing import Claim, Held, counts, divided, written
from appliance.ledger.schema import quota_shares, quota_spent

_LOCK: Final = 7_025_510_862
"""PostgreSQL's advisory lock under which one process divides and the others wait."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One process's turn at all of its limits. `period` names the month, `leaving`: it will not come again."""

    process: str
    claims: Sequence[Claim]
    period: str
    now_unix_s: float
    leaving: bool = False


Shares = Mapping[tuple[str, str], float]
"""Tenant and name of a limit → share."""


def take_turn(turn: Turn) -> Callable[[Connection], Shares]:
    """Book what was spent, and divide anew; within one transaction."""

    def work(connection: Connection) -> Shares:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        spent = _spend(connection, turn)
        rows = _rows(connection, {claim.tenant for claim in turn.claims})
        shares: dict[tuple[str, str], float] = {}
        for claim in turn.claims:
            if claim.monthly:
                claim = replace(claim, limit=max(0.0, claim.limit - spent.get(claim.tenant, 0.0)))
            share = claim.needed if turn.leaving else divided(claim, _others(rows, claim, turn))
            shares[claim.tenant, claim.name] = share
        _write(connection, turn, shares)
        return shares

    return work


def spent_in(period: str) -> Callable[[Connection], Mapping[str, float]]:
    """Tenant → device-seconds of a month."""
    query = select(quota_spent.c.tenant, quota_spent.c.gpu_s).where(quota_spent.c.period == period)
    return lambda connection: {row.tenant: row.gpu_s for row in connection.execute(query)}


def _spend(connection: Connection, turn: Turn) -> Mapping[str, float]:
    for claim in turn.claims:
        if not claim.spent:
            continue
        which = (quota_spent.c.tenant == claim.tenant) & (quota_spent.c.period == turn.period)
        more = update(quota_spent).where(which).values(gpu_s=quota_spent.c.gpu_s + claim.spent)
        if not connection.execute(more).rowcount:
            row = {"tenant": claim.tenant, "period": turn.period, "gpu_s": claim.spent}
            connection.execute(insert(quota_spent).values(row))
    return spent_in(turn.period)(connection)


def _rows(connection: Connection, tenants: set[str]) -> Sequence[Any]:
    return connection.execute(select(quota_shares).where(quota_shares.c.tenant.in_(tenants))).all()


def _others(rows: Sequence[Any], claim: Claim, turn: Turn) -> list[Held]:
    held = [
        Held(row.share, row.wanted, max(0.0, turn.now_unix_s - row.renewed_unix_s))
        for row in rows
        if row.tenant == claim.tenant and row.name == claim.name and row.process != turn.process
    ]
    return [one for one in held if counts(one, claim.window_s)]


def _write(connection: Connection, turn: Turn, shares: Shares) -> None:
    mine = (quota_shares.c.process == turn.process) & quota_shares.c.tenant.in_({c.tenant for c in turn.claims})
    connection.execute(delete(quota_shares).where(mine))
    rows = [
        {
            "tenant": claim.tenant,
            "name": claim.name,
            "process": turn.process,
            "share": _shown(claim, shares[claim.tenant, claim.name], leaving=turn.leaving),
            "wanted": claim.wanted,
            "renewed_unix_s": turn.now_unix_s,
        }
        for claim in turn.claims
        if claim.limit != inf
    ]
    if rows:
        connection.execute(insert(quota_shares), rows)


def _shown(claim: Claim, share: float, *, leaving: bool) -> float:
    return share if leaving else written(claim, share)
