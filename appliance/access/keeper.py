"""Keeps the accounts in step with the ledger: months across restarts, and shares where several processes serve.

The accounts themselves do no I/O. Several times a second a turn is taken: what was used of the months is booked, shares
are renewed and divided anew. Where a request is refused for want of a share, a turn is taken at once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import inf
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from appliance.access.account import GPU_MONTH, IN_FLIGHT, REQUESTS, TenantAccount
from appliance.access.limits import Limits
from appliance.access.window import Window
from appliance.domain.sharing import EXPIRES_S, Claim, heard
from appliance.errors import LedgerError
from appliance.ledger.quota_store import Shares, Turn, spent_in, take_turn

T = TypeVar("T")

TURN_S: Final = 0.25
_SOON_S: Final = 0.05
"""A share that was refused so shortly after a turn is not asked for again."""
_WAITED_TURNS: Final = 4
_WAITS_EVERY_S: Final = 2.0
"""Of each tenant's requests, at most one in this time waits for what others may give."""
_REMEMBERED_S: Final = 6 * TURN_S
"""What was lacking is asked for so long, so that others hear of it and can give."""
_HEADROOM: Final = 1.25
_MONTHLY_PART: Final = 0.01
"""Of the month's limit, what a process holds beyond its need."""

_log = structlog.get_logger(__name__)


class Database(Protocol):
    """What this needs of the ledger."""

    async def run(self, work: Callable[[Connection], T]) -> T:
        """`work` in one transaction."""
        ...


class LimitKeeper:
    """Of one process. `shared`: other processes serve the same tenants; without it all of each limit is here.

    `clock` is that of the accounts, `wall_clock` Unix seconds.
    """

    def __init__(
        self,
        limits: Limits,
        database: Database,
        *,
        shared: bool,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._database = database
        self._shared = shared
        self._clock = clock
        self._wall_clock = wall_clock
        self._process = secrets.token_hex(8)
        self._period = ""
        self._spent: dict[str, float] = {}
        self._booked: dict[str, float] = {}
        self._taken_s = -inf
        self._turning = asyncio.Lock()
        self._told = False
        limits.on_new = self._begin
        limits.more = self.more if shared else None

    async def start(self) -> None:
        """Read what was spent of this month, once. Raises LedgerError."""
        if self._period:
            return
        period = self._month()
        self._spent = dict(await self._database.run(spent_in(period)))
        self._period = period
        now_s = self._clock()
        for account in self._limits.accounts():  # those that came before
            before = self._booked[account.name] = self._spent.get(account.name, 0.0)
            account.month.begin(before + account.month.used(now_s), self._ends_s())

    async def run(self) -> None:
        """A turn every quarter of a second, until it is cancelled; then the last one."""
        try:
            while True:
                await self._turn_or_tell()
                await asyncio.sleep(TURN_S)
        finally:
            await asyncio.shield(self._turn_or_tell(leaving=True))

    async def more(self, account: TenantAccount, refused: str) -> None:
        """Ask for more of the limit that refused just now."""
        before = account.share_of(refused)
        if self._clock() - self._taken_s >= _SOON_S:
            await self._turn_or_tell()
        if account.share_of(refused) > before or self._clock() - account.waited_s < _WAITS_EVERY_S:
            return
        account.waited_s = self._clock()
        for _ in range(_WAITED_TURNS):  # the others give what they don't need, if they have any
            await asyncio.sleep(TURN_S)
            await self._turn_or_tell()
            if account.share_of(refused) > before:
                return

    async def _turn_or_tell(self, *, leaving: bool = False) -> None:
        try:
            await self.turn(leaving=leaving)
            self._told = False
        except LedgerError as error:
            if not self._told:
                _log.error("limits could not be shared through the ledger", error=str(error))
            self._told = True

    async def turn(self, *, leaving: bool = False) -> None:
        """Book and divide. Raises LedgerError."""
        async with self._turning:
            await self.start()
            now_s, period = self._clock(), self._month()
            accounts = self._limits.accounts()
            if not accounts:
                return
            claims = [claim for account in accounts for claim in self._claims(account, now_s)]
            used = {account.name: account.month.used(now_s) for account in accounts}
            if period != self._period or any(claim.spent for claim in claims) or self._divides(accounts):
                await self._divide(accounts, claims, used, now_s, leaving)
            if period != self._period:
                self._new_month(period)

    def _divides(self, accounts: tuple[TenantAccount, ...]) -> bool:
        return self._shared and not all(account.unlimited for account in accounts)

    async def _divide(
        self,
        accounts: tuple[TenantAccount, ...],
        claims: list[Claim],
        used: Mapping[str, float],
        now_s: float,
        leaving: bool,
    ) -> None:
        turn = Turn(self._process, claims, self._period, self._wall_clock(), leaving)
        shares = await self._database.run(take_turn(turn))
        self._taken_s = now_s
        self._booked |= used
        self._hear(accounts, claims, shares, now_s)

    def _claims(self, account: TenantAccount, now_s: float) -> list[Claim]:
        found = [self._monthly(account, now_s)]
        if not self._shared:
            return found
        for window in (account.requests, account.tokens, account.gpu_s):
            if window.limit != inf:
                found.append(_of_window(account, window, now_s))
        most = account.limits.requests_in_flight
        if most is not None:
            needed = float(account.in_flight)
            wanted = needed * _HEADROOM + account.short.get(IN_FLIGHT, 0.0)
            share = account.in_flight_share
            found.append(Claim(account.name, IN_FLIGHT, float(most), share, needed, wanted, 0.0, whole=True))
        return found

    def _monthly(self, account: TenantAccount, now_s: float) -> Claim:
        month, name = account.month, account.name
        spent = month.used(now_s) - self._booked.get(name, 0.0)
        part = 0.0 if month.limit == inf else month.limit * _MONTHLY_PART
        needed = month.held
        wanted = needed * _HEADROOM + part + account.short.get(GPU_MONTH, 0.0)
        share = max(0.0, month.share - month.used(now_s))
        return Claim(name, GPU_MONTH, month.limit, share, needed, wanted, 0.0, spent=spent, monthly=True)

    def _hear(self, accounts: tuple[TenantAccount, ...], claims: list[Claim], shares: Shares, asked_s: float) -> None:
        if not self._shared:
            return
        said = {(claim.tenant, claim.name): claim for claim in claims}
        now_s = self._clock()
        for account in accounts:
            for window in account.windows:
                claim = said.get((account.name, window.name))
                if claim is not None and window.limit != inf:
                    base = self._booked[account.name] if claim.monthly else 0.0
                    needed = window.used(now_s) - base + window.held
                    window.share = base + heard(claim, shares[account.name, window.name], needed)
            claim = said.get((account.name, IN_FLIGHT))
            if claim is not None:
                share = shares[account.name, IN_FLIGHT]
                account.in_flight_share = heard(claim, share, float(account.in_flight))
            account.lease_until_s = asked_s + EXPIRES_S
            if account.short_s < asked_s:  # what was lacking since was not asked for yet
                _forget(account, said, shares, now_s)

    def _begin(self, account: TenantAccount) -> None:
        """A new account, or one under other limits."""
        if account.name not in self._booked:
            self._booked[account.name] = self._spent.get(account.name, 0.0)
            account.month.begin(self._booked[account.name], self._ends_s())
        if self._shared:
            if account.limits.requests_in_flight is not None:
                account.in_flight_share = float(account.in_flight)
            for window in account.windows:
                if window.limit != inf:
                    used = window.used(self._clock())
                    window.share = min(window.limit, used + window.held)

    def _new_month(self, period: str) -> None:
        self._period, self._spent = period, {}
        for account in self._limits.accounts():
            self._booked[account.name] = 0.0
            account.month.begin(0.0, self._ends_s())
            if self._shared and account.month.limit != inf:
                account.month.share = account.month.held

    def _month(self) -> str:
        return datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y-%m")

    def _ends_s(self) -> float:
        """When this month ends, on the accounts' clock."""
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        after = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
        return self._clock() + (after - now).total_seconds()


def _of_window(account: TenantAccount, window: Window, now_s: float) -> Claim:
    needed = window.used(now_s) + window.held
    wanted = needed * _HEADROOM + account.short.get(window.name, 0.0)
    whole = window.name == REQUESTS
    return Claim(account.name, window.name, window.limit, window.share, needed, wanted, window.window_s, whole=whole)


def _forget(account: TenantAccount, said: Mapping[tuple[str, str], Claim], shares: Shares, now_s: float) -> None:
    """What was lacking and is there now, or was long ago."""
    for name in tuple(account.short):
        claim = said.get((account.name, name))
        there = claim is None or shares[account.name, name] >= claim.wanted
        if there or now_s - account.short_s > _REMEMBERED_S:
            del account.short[name]
