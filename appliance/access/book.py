"""Tenants and keys as the ledger last had them: looking one up costs no I/O, and a change counts within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from appliance.access.api_keys import Digester
from appliance.domain.credential import TenantRecord
from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import ALL_SCOPES, DEFAULT, Scope, Tenant
from appliance.errors import AccessUnknown, LedgerError, NotAuthenticated
from appliance.ledger.access_store import AccessSnapshot, read_snapshot, read_version

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0
_LOOK_AT_MOST_EVERY_S: Final = 0.2
"""However many unknown keys are sent."""
_STALE_S: Final = 30.0
"""A ledger that did not answer for so long may have revoked a key that we still know."""

_log = structlog.get_logger(__name__)


class Reads(Protocol):
    """What the book needs of the ledger."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """`work` in a transaction."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    tenant: Tenant
    expires_unix_s: float


class TenantBook:
    """All tenants and valid keys. One task looks for changes (`run`); `snapshot` is what there was at the start.

    `file_keys` are those of the key file, which belong to the tenant `default` and have all scopes. `keep_content` is
    for tenants whose policy does not say. `clock` is monotonic, `wall_clock` Unix seconds.
    """

    def __init__(
        self,
        ledger: Reads,
        snapshot: AccessSnapshot,
        policy: DataPolicy,
        digester: Digester,
        *,
        keep_content: bool,
        file_keys: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._digester = digester
        self._keep_content = keep_content
        self._file_digests = tuple(digester.digest(key.encode()) for key in file_keys)
        self._clock = clock
        self._wall_clock = wall_clock
        self._looked_s = self._tried_s = clock()
        self._tenants: Mapping[str, TenantRecord] = {}
        self._entries: Mapping[bytes, _Entry] = {}
        self.version = -1
        self._take(snapshot)

    def key(self, bearer: bytes) -> Tenant | None:
        """The tenant of a valid key; None for one that is not known, expired, revoked, or of a disabled tenant.

        Raises AccessUnknown where the ledger has not answered for long.
        """
        entry = self._entries.get(self._digester.digest(bearer))
        if entry is None or entry.expires_unix_s <= self._wall_clock():
            return None
        self.ensure_fresh()
        return entry.tenant

    def tenant(self, name: str, scopes: frozenset[Scope], labels: frozenset[str], credential: str) -> Tenant:
        """A tenant that something else than a key speaks for. Raises NotAuthenticated where it may not come in."""
        self.ensure_fresh()
        record = self._tenants.get(name)
        if record is None:
            raise NotAuthenticated(f"tenant {name[:100]} is not known here; make it with `appliance tenants create`")
        if record.disabled_unix_s is not None:
            raise NotAuthenticated(f"tenant {name} is disabled")
        return self._resolved(record, scopes, labels, credential)

    async def look_again(self) -> None:
        """See whether something changed, unless that was done a moment ago."""
        if self._clock() - self._tried_s >= _LOOK_AT_MOST_EVERY_S:
            await self.look()

    async def look(self) -> None:
        """See whether something changed; a ledger that fails is told and asked again next time."""
        self._tried_s = asked_s = self._clock()
        try:
            if await self._ledger.read(read_version) != self.version:
                self._take(await self._ledger.read(read_snapshot))
        except LedgerError as error:
            _log.warning("tenants and keys could not be read", error=str(error))
            return
        self._looked_s = asked_s

    async def run(self) -> None:
        """Look every second, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    def ensure_fresh(self) -> None:
        """Raises AccessUnknown where the ledger has not answered for so long that a key may have been revoked."""
        if self._clock() - self._looked_s > _STALE_S:
            raise AccessUnknown("the ledger does not answer, so keys can't be checked; see the appliance's log")

    def _take(self, snapshot: AccessSnapshot) -> None:
        records = {DEFAULT: TenantRecord(DEFAULT)} | {tenant.name: tenant for tenant in snapshot.tenants}
        able = {name: record for name, record in records.items() if record.disabled_unix_s is None}
        entries: dict[bytes, _Entry] = {}
        if DEFAULT in able:
            tenant = self._resolved(able[DEFAULT], ALL_SCOPES, frozenset(), "the key file")
            entries |= dict.fromkeys(self._file_digests, _Entry(tenant, inf))
        for key in snapshot.keys:
            if key.tenant in able and key.revoked_unix_s is None:
                tenant = self._resolved(able[key.tenant], key.scopes, key.labels, f"key {key.key_id}")
                expires = inf if key.expires_unix_s is None else key.expires_unix_s
                entries[bytes.fromhex(key.digest)] = _Entry(tenant, expires)
        self._tenants, self._entries, self.version = records, entries, snapshot.version

    def _resolved(
        self, record: TenantRecord, scopes: frozenset[Scope], labels: frozenset[str], credential: str
    ) -> Tenant:
        policy = self._policy.of(record.policy)
        kept = None if policy is None else policy.rule.keep_content
        return Tenant(
            name=record.name,
            keep_content=self._keep_content if kept is None else kept,
            labels=record.labels | labels | (frozenset() if policy is None else policy.default_labels),
            scopes=scopes,
            policy=record.policy,
            credential=credential,
        )
