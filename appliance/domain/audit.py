"""What the audit chain hears of: who asked for what, how it ended, and what administrators did."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.domain.usage import PassThroughCall


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request is about to be answered. `credential` says which key, token or certificate it came with.

    `status` is the HTTP status that the answer begins with (0: not known yet, on the fast path); where the request is
    refused instead, `refusal` is the kind of the error. `body` is the request's body as it came, of which only a keyed
    digest is written.
    """

    request_id: str
    trace_id: str
    tenant: str
    credential: str
    path: str
    model: str = ""
    labels: tuple[str, ...] = ()
    status: int = 0
    refusal: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Finished:
    """An accepted request is over. `outcome` is `ok`, `error` or `cancelled`.

    `answer_bytes` were sent; `answer_digest` is theirs, as `Audit.digest` makes it. `call` is what the fast path
    consumed, so that a crash before it is in the ledger loses nothing of it.
    """

    request_id: str
    trace_id: str
    outcome: str
    strategy: str = ""
    answer_bytes: int = 0
    answer_digest: str = ""
    call: PassThroughCall | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """Something that an administrator did: `what` (`keys.create`) to which `subject`. `details` hold no secret."""

    what: str
    subject: str
    tenant: str
    credential: str
    details: Mapping[str, str] = field(default_factory=dict)


AuditEvent = Accepted | Finished | Act


class Digest(Protocol):
    """A keyed digest in the making."""

    def update(self, data: bytes, /) -> None:
        """Take more of it."""

    def hexdigest(self) -> str:
        """Of all that was taken."""


class Audit(Protocol):
    """Where it is recorded."""

    def accepted(self, event: Accepted) -> Awaitable[None]:
        """Record it. Await this before the first byte of the answer leaves; it raises AuditFailed where the mode is
        `required` and the record can't be written. Writing begins with the call, not with the await."""

    def finished(self, event: Finished) -> None:
        """Record it, soon. It never waits and never fails."""

    def act(self, event: Act) -> Awaitable[None]:
        """Record an administrator's act; as `accepted`, to be awaited before it takes effect."""

    def digest(self) -> Digest:
        """For what must not be written down itself."""
