"""Tenants and their keys as they are stored: never a key itself."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.tenant import DEFAULT, Scope


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant. `labels` are borne by all its requests, beside those that its policy says. Times are wall time."""

    name: str
    policy: str = DEFAULT
    labels: frozenset[str] = frozenset()
    note: str = ""
    created_unix_s: float = 0.0
    disabled_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key of a tenant: `key_id` is the part of it that may be shown, `digest` the HMAC by which it is known (hex).

    `replaced_by` is the key that was made for it, where it was rotated.
    """

    key_id: str
    tenant: str
    digest: str
    scopes: frozenset[Scope]
    labels: frozenset[str] = frozenset()
    note: str = ""
    created_unix_s: float = 0.0
    expires_unix_s: float | None = None
    revoked_unix_s: float | None = None
    replaced_by: str | None = None

    def state(self, now_unix_s: float) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_unix_s is not None:
            return "revoked"
        return "expired" if self.expires_unix_s is not None and self.expires_unix_s <= now_unix_s else "valid"
