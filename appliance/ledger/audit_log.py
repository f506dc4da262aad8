"""Writes audit records: the event loop puts events into a queue, one thread links and writes what has gathered.

There is no waiting for more: whatever comes while a group is written is the next group, so a lone request waits for one
write, and many share one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.domain.audit import Accepted, Act, Audit, AuditEvent, Digest, Finished
from appliance.errors import ApplianceError, AuditFailed
from appliance.ledger.audit_chain import Link, linked
from appliance.ledger.audit_records import gap, opened, record_of, recovered

logger = logging.getLogger(__name__)

_GROUP: Final = 1_000
_MOST_WAITING: Final = 100_000
"""Records that nobody waits for are kept while the disk fails; beyond this the oldest are lost, and counted."""
_SYNC_EVERY_S: Final = 1.0


class Place(Protocol):
    """Where a chain is written."""

    chain: str
    link: Link
    torn: bytes

    def append(self, lines: Sequence[bytes], link: Link, *, sync: bool) -> None:
        """Write lines that lead to `link`, all of them or none. Raises OSError or LedgerError."""

    def sync(self) -> None:
        """Bring what was written to the disk."""

    def close(self) -> None:
        """Let another process have the chain."""


class AuditLog:
    """One chain, written by this process. `required`: an answer waits for its record, and fails without it.

    `sync`: `each` group before anybody hears that it is written, once a `second`, or `never`. `on_failure` hears of
    each write that failed, from the thread.
    """

    def __init__(
        self,
        place: Place,
        key: bytes,
        *,
        required: bool = True,
        sync: str = "second",
        version: str = "",
        on_failure: Callable[[], None] = lambda: None,
        pid: int = 0,
    ) -> None:
        self._place = place
        self._key = key
        self._keyed = hmac.new(key, digestmod="sha256")  # copied for each use, which costs a fifth
        self._required = required
        self._sync = sync
        self._on_failure = on_failure
        self._queue: deque[_Waiting] = deque()
        self._missing = 0
        self._told = False
        self._synced_s = time.monotonic()
        self._unsynced = False
        self._something = threading.Event()
        self._stopped = False
        self._begin(version, pid)
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def accepted(self, event: Accepted) -> Awaitable[None]:
        """Record it; the awaitable is done when it is written. It raises AuditFailed where that is required."""
        return self._put_awaited(event)

    def act(self, event: Act) -> Awaitable[None]:
        """As `accepted`."""
        return self._put_awaited(event)

    def finished(self, event: Finished) -> None:
        """Record it, soon."""
        self._put(_Waiting(event, time.time()))

    def digest(self) -> Digest:
        """HMAC-SHA256 under the chain's key."""
        return self._keyed.copy()

    def close(self) -> None:
        """Write what is waiting and let the chain go; blocks."""
        self._stopped = True
        self._something.set()
        self._thread.join()
        self._place.close()

    def _put_awaited(self, event: AuditEvent) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._put(_Waiting(event, time.time(), loop, written))
        return written

    def _put(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._something.set()

    def _begin(self, version: str, pid: int) -> None:
        """The first records of this process. Raises AuditFailed where they are required and can't be written."""
        now_s = time.time()
        torn = self._place.torn
        head = [recovered(now_s, len(torn), hashlib.sha256(torn).hexdigest())] if torn else []
        try:
            self._append([*head, opened(now_s, self._place.chain, pid, version)])
        except (OSError, ApplianceError) as error:
            if self._required:
                self._place.close()
                raise self._failure(error) from None
            self._failed(error, 1)

    def _run(self) -> None:
        while True:
            self._something.wait(_SYNC_EVERY_S)  # also to try again what could not be written
            self._something.clear()
            stopped = self._stopped
            while self._queue and self._write_group():
                pass
            self._sync_in_time(now=stopped)
            if stopped:
                return

    def _write_group(self) -> bool:
        """Write the next group; False: it failed, and what is left is tried again later."""
        group = [self._queue.popleft() for _ in range(min(_GROUP, len(self._queue)))]
        try:
            self._append([record_of(waiting.event, waiting.at_unix_s, self._key) for waiting in group])
        except Exception as error:  # a mistake of ours must not end the thread: every request would wait for ever
            self._give_up(group, error)
            return False
        self._told = False
        _tell(group, None)
        return True

    def _append(self, records: list[dict[str, object]]) -> None:
        if self._missing:
            records = [gap(time.time(), self._missing), *records]
        link, lines = self._place.link, []
        for record in records:
            line, link = linked(link, record)
            lines.append(line)
        self._place.append(lines, link, sync=self._sync == "each")
        self._missing, self._unsynced = 0, True

    def _give_up(self, group: list[_Waiting], error: Exception) -> None:
        """Whoever waits is told now: refused where records are required. What nobody waits for stays in the queue."""
        waited = [waiting for waiting in group if waiting.written is not None]
        kept = [waiting for waiting in group if waiting.written is None]
        self._queue.extendleft(reversed(kept))
        lost = max(0, len(self._queue) - _MOST_WAITING)
        for _ in range(lost):
            self._queue.popleft()
        self._failed(error, lost + (0 if self._required else len(waited)))
        _tell(waited, self._failure(error) if self._required else None)

    def _sync_in_time(self, *, now: bool) -> None:
        if self._sync == "second" and self._unsynced and (now or time.monotonic() - self._synced_s >= _SYNC_EVERY_S):
            self._synced_s = time.monotonic()
            try:
                self._place.sync()
                self._unsynced = False
            except OSError as error:
                self._failed(error, 0)

    def _failure(self, error: Exception) -> AuditFailed:
        reason = str(error) if isinstance(error, (OSError, ApplianceError)) else type(error).__name__
        return AuditFailed(
            f"the audit record can't be written ({reason}), and without it nothing may leave; see that the disk has "
            "room, or set ledger.audit.mode to best_effort"
        )

    def _failed(self, error: Exception, missing: int) -> None:
        """Once in the log: a full disk would fill it with nothing else."""
        self._missing += missing
        self._on_failure()
        if not self._told:
            self._told = True
            logger.error("%s", self._failure(error))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An event in the queue; `written` is the future of whoever waits for it."""

    event: AuditEvent
    at_unix_s: float
    loop: asyncio.AbstractEventLoop | None = None
    written: asyncio.Future[None] | None = None


def _tell(group: Sequence[_Waiting], failure: AuditFailed | None) -> None:
    """Wake those who wait: one call into each event loop for all of them."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiting in group:
        if waiting.loop is not None and waiting.written is not None:
            by_loop.setdefault(waiting.loop, []).append(waiting.written)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_settle, futures, failure)


def _settle(futures: list[asyncio.Future[None]], failure: AuditFailed | None) -> None:
    for written in futures:
        if written.done():
            continue  # whoever waited has gone
        if failure is None:
            written.set_result(None)
        else:
            written.set_exception(failure)


class _Done:
    """Done already; may be awaited or left alone."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # an empty iterator is all that `await` needs


_DONE = _Done()


class _Off:
    def accepted(self, event: Accepted) -> Awaitable[None]:
        return _DONE

    def act(self, event: Act) -> Awaitable[None]:
        return _DONE

    def finished(self, event: Finished) -> None:
        return

    def digest(self) -> Digest:
        return self

    def update(self, data: bytes, /) -> None:
        return

    def hexdigest(self) -> str:
        return ""


NO_AUDIT: Audit = _Off()
"""Nothing is recorded."""
