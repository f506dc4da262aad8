"""A ledger with tenants and keys, and a book on it, for tests; time stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.access.api_keys import Digester, new_key
from appliance.access.book import TenantBook
from appliance.domain.credential import KeyRecord, TenantRecord
from appliance.domain.policy import DataPolicy, TenantPolicy
from appliance.domain.tenant import Scope
from appliance.domain.use_rule import UseRule
from appliance.ledger.access_store import AccessStore
from appliance.ledger.database import Database

POLICY = DataPolicy(
    {"internal": UseRule(), "secret": UseRule()},
    {
        "kept": TenantPolicy(rule=UseRule(keep_content=True), default_labels=frozenset({"internal"})),
        "plain": TenantPolicy(),
    },
)
NOW = 1_700_000_000.0


@dataclass(slots=True)
class Moment:
    """Both clocks."""

    now_s: float = NOW

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class Ledger:
    """Tenants, keys and a pepper over one database."""

    database: Database
    moment: Moment = field(default_factory=Moment)
    digester: Digester = field(default_factory=lambda: Digester(b"p" * 32))
    store: AccessStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = AccessStore(self.database, self.moment)

    def tenant(self, name: str, policy: str = "default", *labels: str) -> TenantRecord:
        """A stored tenant."""
        return self.store.create(TenantRecord(name, policy, frozenset(labels)))

    def record(self, tenant: str, *scopes: Scope, expires_s: float | None = None) -> tuple[KeyRecord, str]:
        """A key that is not stored yet, with its secret."""
        key_id, secret = new_key()
        ends = None if expires_s is None else self.moment.now_s + expires_s
        digest = self.digester.digest(secret.encode()).hex()
        wanted = frozenset(scopes or (Scope.INFERENCE,))
        return KeyRecord(key_id, tenant, digest, wanted, created_unix_s=self.moment.now_s, expires_unix_s=ends), secret

    def key(self, tenant: str, *scopes: Scope, expires_s: float | None = None) -> tuple[str, str]:
        """The id and the secret of a stored key."""
        record, secret = self.record(tenant, *scopes, expires_s=expires_s)
        self.store.add_key(record)
        return record.key_id, secret

    def rotated(self, key_id: str, overlap_s: float) -> tuple[str, str]:
        """The id and the secret of the key that follows another."""
        record, secret = self.record("")
        self.store.rotate(
            key_id,
            lambda old: replace(old, key_id=record.key_id, digest=record.digest, expires_unix_s=None),
            overlap_s,
        )
        return record.key_id, secret

    def book(self, *file_keys: str, keep_content: bool = False, clock: Callable[[], float] | None = None) -> TenantBook:
        """A book as of now."""
        return TenantBook(
            self.database,
            self.store.snapshot(),
            POLICY,
            self.digester,
            keep_content=keep_content,
            file_keys=file_keys,
            clock=clock or self.moment,
            wall_clock=self.moment,
        )


@contextmanager
def ledger(place: Path | str) -> Iterator[Ledger]:
    """One that is closed again."""
    database = Database(place)
    try:
        yield Ledger(database)
    finally:
        database.close()
