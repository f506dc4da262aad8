"""The journal: an append-only SQLite file (WAL) of the requests that are being answered, written by one thread.

An event loop only appends to a queue; the thread takes what has gathered for `GATHER_S` and writes it in one
transaction, one row for each request that something happened to. A request that began and was saved meanwhile is not
written at all, and what is known of one on the fast path is put together only here, where it is still on its way. What
a killed process loses is what it had not written: the last `GATHER_S` and the time of one write, together at most 50 ms
on a disk that takes a small write within 30 ms. The file is synced at checkpoints only (`synchronous=NORMAL`): when the
machine loses power, the last moments may be lost too, never the file.

Plain `sqlite3` and not SQLAlchemy, which the ledger uses: a row costs a few microseconds here, half of them would be
SQLAlchemy's, and this file is never in another database: it belongs to one process, like its memory.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from appliance.domain.forecast import Reduction
from appliance.domain.journal import Begun, CallSent, JournalEvent, JournalPage, RequestBegun, RequestEnded
from appliance.domain.trace import CallRecord, Decision, Fallback, TaskRecord, VerdictRecord
from appliance.domain.usage import PassThroughCall

logger = logging.getLogger(__name__)

GATHER_S = 0.02

_KINDS: tuple[type[JournalEvent], ...] = (
    RequestBegun, PassThroughCall, Decision, TaskRecord, CallSent, CallRecord, VerdictRecord, Fallback, Reduction,
    RequestEnded,
)  # fmt: skip
_NAMES = {kind: kind.__name__ for kind in _KINDS}
_READERS = {kind.__name__: TypeAdapter[JournalEvent](kind) for kind in _KINDS}
_TABLE = """CREATE TABLE IF NOT EXISTS pages (
    page INTEGER NOT NULL, number INTEGER NOT NULL, written_unix_s REAL NOT NULL, events BLOB NOT NULL,
    PRIMARY KEY (page, number)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class LeftPage:
    """The page of a request that an earlier process left; `heard_unix_s` is when it was last written to."""

    number: int
    events: tuple[JournalEvent, ...]
    heard_unix_s: float


@dataclass(slots=True)
class _Later:
    """The beginning of a page, to be made when it is written."""

    made: Callable[[], PassThroughCall]


_Noted = JournalEvent | _Later | None
"""What is queued of a page: an event, its beginning, or its end."""


class _Page:
    __slots__ = ("_journal", "number")

    def __init__(self, journal: JournalFile, number: int) -> None:
        self._journal = journal
        self.number = number

    def note(self, event: JournalEvent) -> None:
        """Queue one event."""
        self._journal.put(self.number, event)

    def tear_out(self) -> None:
        """Queue the page's end."""
        self._journal.put(self.number, None)


class JournalFile:
    """The journal in one file. It never raises: a disk that fails costs the journal, not the requests.

    `on_failure` is called for each write that failed, from the journal's thread. `left` are the pages of processes
    before this one. A file that is no database, or a broken one, is put aside under another name.
    """

    def __init__(self, path: Path, on_failure: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_failure = on_failure
        self._told = False
        self._queue: deque[tuple[int, _Noted]] = deque()
        self._something = threading.Event()
        self._awake = False
        self._stopped = threading.Event()
        self._written: set[int] = set()
        self._rows = 0
        self._connection = self._opened()
        self.left = self._read()
        self._written.update(page.number for page in self.left)
        self._pages = max(self._written, default=0)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def begin(self, event: Begun) -> JournalPage:
        """A new page, with its first event."""
        self._pages += 1
        page = _Page(self, self._pages)
        page.note(event)
        return page

    def begin_later(self, cut_off: Callable[[], PassThroughCall]) -> JournalPage:
        """A new page, whose first event the journal's thread makes when it writes it."""
        self._pages = number = self._pages + 1
        self.put(number, _Later(cut_off))
        return _Page(self, number)

    def page_of(self, left: LeftPage) -> JournalPage:
        """A left page, to be torn out once what stands on it is in the ledger."""
        return _Page(self, left.number)

    def put(self, page: int, event: _Noted) -> None:
        """Queue an event of a page; None tears it out."""
        self._queue.append((page, event))
        if not self._awake:
            self._awake = True
            self._something.set()

    def close(self) -> None:
        """Write what is queued and close the file; blocks for one write."""
        self._stopped.set()
        self._something.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._something.wait()
            self._stopped.wait(GATHER_S)
            self._something.clear()
            self._awake = False  # before the queue is emptied: what comes from here on wakes the thread again
            self._write_safely()
        self._write_safely()
        if self._connection is not None:
            self._connection.close()

    def _write_safely(self) -> None:
        try:
            self._write(self._gathered())
        except Exception as error:  # a mistake of ours must not end the thread: the queue would grow for ever
            self._failed(error)

    def _gathered(self) -> Mapping[int, list[_Noted]]:
        by_page: dict[int, list[_Noted]] = {}
        with suppress(IndexError):
            while True:
                page, event = self._queue.popleft()
                by_page.setdefault(page, []).append(event)
        return by_page

    def _write(self, by_page: Mapping[int, list[_Noted]]) -> None:
        if not by_page or self._connection is None:
            return
        over = {page for page, events in by_page.items() if events[-1] is None}
        torn_out = over & self._written
        now_s, rows = time.time(), []
        for page in by_page.keys() - over:
            self._rows += 1
            rows.append((page, self._rows, now_s, self._lines(by_page[page])))
        try:
            with self._connection:
                if rows:
                    self._connection.executemany("INSERT INTO pages VALUES (?, ?, ?, ?)", rows)
                if torn_out:
                    self._connection.executemany("DELETE FROM pages WHERE page = ?", [(page,) for page in torn_out])
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return
        self._written |= by_page.keys() - over
        self._written -= torn_out

    def _lines(self, events: Sequence[_Noted]) -> bytes:
        """One JSON list of a name and an event for each line."""
        lines = []
        for event in _begun(events):
            try:
                lines.append(orjson.dumps((_NAMES[type(event)], event)) if event is not None else b"")
            except orjson.JSONEncodeError as error:  # half a surrogate pair in a prompt: this event alone is lost
                self._failed(error)
        return b"\n".join(lines)

    def _opened(self) -> sqlite3.Connection | None:
        try:
            return self._connected()
        except sqlite3.DatabaseError as error:
            logger.warning("journal %s can't be read (%s); it is put aside", self._path, error)
        except OSError as error:
            self._failed(error)
            return None
        try:
            self._path.replace(self._path.with_name(f"{self._path.name}.broken"))
            return self._connected()
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return None

    def _connected(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # it may hold prompts
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_TABLE)
            self._rows = connection.execute("SELECT max(number) FROM pages").fetchone()[0] or 0
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _read(self) -> tuple[LeftPage, ...]:
        if self._connection is None:
            return ()
        try:
            found = self._connection.execute("SELECT page, written_unix_s, events FROM pages ORDER BY page, number")
            rows = found.fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return ()
        by_page: dict[int, list[tuple[float, bytes]]] = {}
        for page, heard_s, lines in rows:
            by_page.setdefault(page, []).append((heard_s, lines))
        return tuple(
            LeftPage(page, tuple(_events(lines for _, lines in parts)), parts[-1][0]) for page, parts in by_page.items()
        )

    def _failed(self, error: Exception) -> None:
        """Once in the log: a full disk would fill it with nothing else."""
        self._on_failure()
        if not self._told:
            self._told = True
            logger.error(
                "journal %s can't be written (%s): requests go on, but those that a crash ends will leave no trace; "
                "see that the disk has room and the file is writable",
                self._path,
                error,
            )


def _begun(events: Sequence[_Noted]) -> Iterable[JournalEvent | None]:
    """With the beginning made. One whose end came before is that end: whoever reads a page takes the last word."""
    for at, event in enumerate(events):
        if not isinstance(event, _Later):
            yield event
        elif at + 1 == len(events):
            yield event.made()
        else:
            yield from _begun(events[at + 1 : at + 2])


def _events(parts: Iterable[bytes]) -> Iterable[JournalEvent]:
    """What was written; what another version of the appliance wrote otherwise is left out."""
    for part in parts:
        for line in part.split(b"\n"):
            with suppress(ValueError, KeyError, ValidationError):
                name, event = orjson.loads(line)
                yield _READERS[name].validate_python(event)
