"""Tenants and keys in the ledger. Every change raises a version, by which running appliances learn of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from appliance.domain.credential import KeyRecord, TenantRecord
from appliance.domain.tenant import DEFAULT, Scope
from appliance.errors import ConfigError, NotFound
from appliance.ledger.database import Database
from appliance.ledger.schema import access_state, api_keys, tenants

_ONLY_ROW: Final = 1


@dataclass(frozen=True, slots=True)
class AccessSnapshot:
    """All tenants and keys at one version."""

    version: int
    tenants: tuple[TenantRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()


def read_version(connection: Connection) -> int:
    """The version of tenants and keys; 0 before there are any."""
    return connection.execute(select(access_state.c.version)).scalar_one_or_none() or 0


def read_snapshot(connection: Connection) -> AccessSnapshot:
    """All of it, of one moment."""
    version = read_version(connection)
    found = connection.execute(select(tenants).order_by(tenants.c.name)).mappings()
    keys = connection.execute(select(api_keys).order_by(api_keys.c.tenant, api_keys.c.created_unix_s)).mappings()
    return AccessSnapshot(version, tuple(map(_tenant, found)), tuple(map(_key, keys)))


class AccessStore:
    """Reads and changes tenants and keys, each in one transaction in the calling thread. `clock` is wall time.

    Raises NotFound and ConfigError for names that are not there or are taken, LedgerError where the ledger fails.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def snapshot(self) -> AccessSnapshot:
        """All of it."""
        with self._database.begin(reads_only=True) as connection:
            return read_snapshot(connection)

    def check_pepper(self, check: str) -> None:
        """Note what the pepper of the first keys was known by, or see that it is still the same. ConfigError if not."""
        with self._database.begin() as connection:
            _ensure_state(connection)
            known = connection.execute(select(access_state.c.pepper_check)).scalar_one()
            if not known:
                connection.execute(update(access_state).values(pepper_check=check))
            elif known != check:
                raise ConfigError(
                    "access.pepper_file: another pepper than the one that the stored keys were made with, so none of "
                    "them would be known; put the former one back, or set APPLIANCE_KEY_PEPPER to it"
                )

    def create(self, tenant: TenantRecord) -> TenantRecord:
        """A new tenant."""
        with self._changing() as connection:
            if _find(connection, tenant.name) is not None:
                raise ConfigError(f"tenant {tenant.name}: it is there already; change it with `appliance tenants set`")
            made = replace(tenant, created_unix_s=self._clock())
            connection.execute(insert(tenants).values(_tenant_row(made)))
            return made

    def change(self, name: str, how: Callable[[TenantRecord], TenantRecord]) -> TenantRecord:
        """Another policy, label or note; `default` is made where it is not stored yet."""
        with self._changing() as connection:
            before = _found(connection, name)
            after = how(before)
            connection.execute(update(tenants).where(tenants.c.name == name).values(_tenant_row(after)))
            return after

    def disable(self, name: str, *, disabled: bool = True) -> TenantRecord:
        """Let none of its credentials in any more, or let them in again."""
        at = self._clock() if disabled else None
        return self.change(name, lambda tenant: replace(tenant, disabled_unix_s=at))

    def add_key(self, key: KeyRecord) -> None:
        """A new key of a tenant that is there."""
        with self._changing() as connection:
            _found(connection, key.tenant)
            connection.execute(insert(api_keys).values(_key_row(key)))

    def revoke(self, key_id: str) -> KeyRecord:
        """Let a key in no more. Revoking it again changes nothing."""
        with self._changing() as connection:
            key = _found_key(connection, key_id)
            if key.revoked_unix_s is None:
                key = replace(key, revoked_unix_s=self._clock())
                connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(_key_row(key)))
            return key

    def rotate(self, key_id: str, successor: Callable[[KeyRecord], KeyRecord], overlap_s: float) -> KeyRecord:
        """Store the successor of a valid key, which ends `overlap_s` from now at the latest. Returns the old one."""
        with self._changing() as connection:
            old, now = _found_key(connection, key_id), self._clock()
            if old.state(now) != "valid" or old.replaced_by is not None:
                state = f"was rotated already: see {old.replaced_by}" if old.replaced_by else f"is {old.state(now)}"
                raise ConfigError(f"key {key_id}: it {state}; make a new one with `appliance keys create`")
            new = successor(old)
            ends = min(now + overlap_s, old.expires_unix_s or now + overlap_s)
            old = replace(old, expires_unix_s=ends, replaced_by=new.key_id)
            connection.execute(insert(api_keys).values(_key_row(new)))
            connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(_key_row(old)))
            return old

    def _changing(self) -> _Changing:
        return _Changing(self._database)


class _Changing:
    """A transaction that raises the version at its end, and first of all, so that it orders what changes at once."""

    def __init__(self, database: Database) -> None:
        self._transaction = database.begin()

    def __enter__(self) -> Connection:
        connection = self._transaction.__enter__()
        _ensure_state(connection)
        connection.execute(update(access_state).values(version=access_state.c.version + 1))
        return connection

    def __exit__(self, *error: Any) -> bool | None:
        return self._transaction.__exit__(*error)


def _ensure_state(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE access_state IN EXCLUSIVE MODE")
    if connection.execute(select(func.count()).select_from(access_state)).scalar_one() == 0:
        connection.execute(insert(access_state).values(id=_ONLY_ROW, version=0, pepper_check=""))


def _find(connection: Connection, name: str) -> TenantRecord | None:
    row = connection.execute(select(tenants).where(tenants.c.name == name)).mappings().one_or_none()
    return None if row is None else _tenant(row)


def _found(connection: Connection, name: str) -> TenantRecord:
    tenant = _find(connection, name)
    if tenant is None and name == DEFAULT:
        tenant = TenantRecord(DEFAULT)
        connection.execute(insert(tenants).values(_tenant_row(tenant)))
    if tenant is None:
        raise NotFound(f"no tenant {name}; `appliance tenants list` shows those that there are")
    return tenant


def _found_key(connection: Connection, key_id: str) -> KeyRecord:
    row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"no key {key_id}; `appliance keys list` shows the ids of those that there are")
    return _key(row)


def _tenant(row: RowMapping) -> TenantRecord:
    return TenantRecord(**{**row, "labels": frozenset(json.loads(row["labels"]))})


def _tenant_row(tenant: TenantRecord) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in tenants.c.keys()} | {"labels": _listed(tenant.labels)}  # noqa: SIM118 (columns, not a dict)


def _key(row: RowMapping) -> KeyRecord:
    scopes = frozenset(Scope(scope) for scope in json.loads(row["scopes"]))
    return KeyRecord(**{**row, "labels": frozenset(json.loads(row["labels"])), "scopes": scopes})


def _key_row(key: KeyRecord) -> dict[str, Any]:
    row = {name: getattr(key, name) for name in api_keys.c.keys()}  # noqa: SIM118 (columns, not a dict)
    return row | {"labels": _listed(key.labels), "scopes": _listed(key.scopes)}


def _listed(names: Iterable[str]) -> str:
    return json.dumps(sorted(names))
