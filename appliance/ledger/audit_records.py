"""An audit event → its record: contents become keyed digests, everything else stands as it is. Pure."""

from __future__ import annotations

import hmac
from typing import Any

from appliance.domain.audit import Accepted, Act, AuditEvent, Finished

ACCEPTED, FINISHED, ACT = "accepted", "finished", "act"
OPENED, RECOVERED, GAP = "opened", "recovered", "gap"


def record_of(event: AuditEvent, at_unix_s: float, key: bytes) -> dict[str, Any]:
    """The record, before it is linked. Fields that are empty are left out."""
    match event:
        case Accepted():
            record = {name: value for name, value in _fields(event).items() if name != "body"}
            body = {"body_bytes": len(event.body), "body_hmac": digest_of(event.body, key)} if event.body else {}
            return {"at": at_unix_s, "kind": ACCEPTED, **record, **body}
        case Finished():
            return {"at": at_unix_s, "kind": FINISHED, **_fields(event)}
        case Act():
            return {"at": at_unix_s, "kind": ACT, **_fields(event)}


def digest_of(content: bytes, key: bytes) -> str:
    """Keyed, so that nobody without the key can try contents out against the record."""
    return hmac.digest(key, content, "sha256").hex()


def opened(at_unix_s: float, chain: str, pid: int, version: str) -> dict[str, Any]:
    """A process begins to write."""
    return {"at": at_unix_s, "kind": OPENED, "chain": chain, "pid": pid, "version": version}


def recovered(at_unix_s: float, dropped_bytes: int, dropped_sha256: str) -> dict[str, Any]:
    """The process before was ended while it wrote a record; no answer waited for that one."""
    return {"at": at_unix_s, "kind": RECOVERED, "dropped_bytes": dropped_bytes, "dropped_sha256": dropped_sha256}


def gap(at_unix_s: float, missing: int) -> dict[str, Any]:
    """So many records could not be written (mode `best_effort`)."""
    return {"at": at_unix_s, "kind": GAP, "missing": missing}


def _fields(event: AuditEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in event.__slots__:
        value = getattr(event, name)
        if value not in ("", 0, (), None) and value != {}:
            fields[name] = value
    return fields
