"""Audit chains as files that are only ever appended to: one chain for each process that writes at the same time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson

from appliance.errors import ConfigError, LedgerError
from appliance.ledger.audit_chain import Head, Link, link_of, parsed, signed, start

MOST_CHAINS: Final = 1_000
_TAIL_BYTES: Final = 4 << 20
"""What is read of a chain to go on with it: thousands of records. One that is longer than this is none of ours."""


class AuditFile:
    """The chain that this process writes: the first one from number `first` on that no other process holds.

    Its lines lie in segments, `CHAIN-FIRSTNUMBER.jsonl`; its head in another directory. Raises ConfigError where it
    can't be opened, LedgerError where the chain is shorter than its head says.
    """

    def __init__(self, directory: Path, heads: Path, key: bytes, segment_bytes: int, first: int = 0) -> None:
        self._directory = directory
        self._heads = heads
        self._key = key
        self._segment_bytes = segment_bytes
        self._segment = -1
        self._head = -1
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            heads.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.chain, self._lock = _held(directory, first)
            self.link, self.torn = self._open()
        except OSError as error:
            raise ConfigError(
                f"ledger.audit: {directory} can't be written ({error.strerror}); name another directory, or see that "
                "the disk has room"
            ) from None

    def append(self, lines: Sequence[bytes], link: Link, *, sync: bool) -> None:
        """Write lines that lead to `link`, all of them or none, then the head. Raises OSError."""
        data = b"".join(line + b"\n" for line in lines)
        if self._size and self._size + len(data) > self._segment_bytes:
            self._begin_segment(self.link.number + 1)
        try:
            _write_all(self._segment, data)
            if sync:
                os.fdatasync(self._segment)
        except OSError:
            os.ftruncate(self._segment, self._size)  # half a line would be taken for a change
            raise
        self._size += len(data)
        self.link = link
        self._write_head()

    def sync(self) -> None:
        """Bring what was written to the disk. Raises OSError."""
        os.fdatasync(self._segment)

    def left(self) -> tuple[bytes, ...]:
        """The last records of the processes before this one, with their ends. Raises LedgerError."""
        found = segments(self._directory, self.chain)
        newest = [path for path in found if path.stat().st_size][-1:]
        return tuple(_last_part(newest[0]).splitlines(keepends=True)) if newest else ()

    def close(self) -> None:
        """Let another process have the chain."""
        for descriptor in (self._segment, self._head, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._segment = self._head = self._lock = -1

    def _open(self) -> tuple[Link, bytes]:
        """Where the chain stands, and what half a line was cut off at its end."""
        found = segments(self._directory, self.chain)
        link, torn = start(self.chain), b""
        for path in reversed(found):
            last, torn_here = _last_line(path)
            torn = torn or torn_here
            if last is not None:
                record = parsed(last)
                if record is None:
                    raise self._damaged("its last record is none")
                link = link_of(last, record)
                break
        self._check(link)
        if found:
            self._segment = os.open(found[-1], os.O_WRONLY | os.O_APPEND)
            self._size = found[-1].stat().st_size - len(torn)
            os.ftruncate(self._segment, self._size)
        else:
            self._begin_segment(1)
        self._head = os.open(self._heads / f"{self.chain}.json", os.O_WRONLY | os.O_CREAT, 0o600)
        return link, torn

    def _check(self, link: Link) -> None:
        head = read_head(self._heads, self.chain)
        if head is not None and (
            head.number > link.number or (head.number == link.number and head.digest != link.digest)
        ):
            raise self._damaged(
                f"it ends with record {link.number}, and its head names another end, record {head.number}"
            )

    def _damaged(self, problem: str) -> LedgerError:
        return LedgerError(
            f"audit chain {self.chain} in {self._directory} is not as it was written: {problem}; see `appliance audit "
            "verify`, keep the files as evidence, and move them and their head away to begin a new chain"
        )

    def _begin_segment(self, first: int) -> None:
        path = self._directory / f"{self.chain}-{first:012}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        segment = os.open(path, flags, 0o600)
        if self._segment >= 0:
            os.fdatasync(self._segment)
            os.close(self._segment)
        self._segment, self._size = segment, os.fstat(segment).st_size
        _sync_directory(self._directory)

    def _write_head(self) -> None:
        """In place and padded: a head is always whole, whenever the process is killed."""
        head = orjson.dumps(asdict(signed(self.chain, self.link, self._key)))
        os.pwrite(self._head, head.ljust(511) + b"\n", 0)


def chains(directory: Path, heads: Path) -> list[str]:
    """The chains that have segments or a head here."""
    with_segments = {path.name.rpartition("-")[0] for path in directory.glob("*-*.jsonl")}
    return sorted(with_segments | {path.stem for path in heads.glob("*.json")})


def segments(directory: Path, chain: str) -> list[Path]:
    """A chain's segments, oldest first."""
    return sorted(directory.glob(f"{chain}-{'[0-9]' * 12}.jsonl"))


def lines(paths: Sequence[Path]) -> Iterator[bytes]:
    """All lines of these files, with their ends. Raises LedgerError."""
    for path in paths:
        try:
            with path.open("rb") as opened:
                yield from opened
        except OSError as error:
            raise LedgerError(f"{path}: can't be read ({error.strerror})") from None


def read_head(heads: Path, chain: str) -> Head | None:
    """A chain's head; None where there is none. Raises LedgerError for one that can't be read."""
    file = heads / f"{chain}.json"
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    if not text.strip():
        return None  # made, and the process was killed before its first record
    try:
        return Head(**orjson.loads(text))
    except (orjson.JSONDecodeError, TypeError):
        raise LedgerError(f"{file}: not a head of an audit chain") from None


def _held(directory: Path, first: int) -> tuple[str, int]:
    """The first chain that nobody writes, and the descriptor that holds it."""
    for number in range(first, first + MOST_CHAINS):
        descriptor = os.open(directory / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return str(number), descriptor
    raise ConfigError(f"ledger.audit: {directory}: {MOST_CHAINS} processes write here already")


def _last_line(path: Path) -> tuple[bytes | None, bytes]:
    """The last whole line, and what stands after it."""
    whole, _, torn = _last_part(path).rpartition(b"\n")
    if not whole:
        return None, torn
    return whole.rpartition(b"\n")[2], torn


def _last_part(path: Path) -> bytes:
    with path.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - _TAIL_BYTES))
        return opened.read()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
