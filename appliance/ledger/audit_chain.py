"""The chain of audit records: how one is linked to the next, and how a break is found. Pure.

A record is one line of JSON with its number and the hash of the line before it; its own hash is SHA-256 over the line.
A head says which record is the last one, under a keyed digest (HMAC-SHA256): without the key nobody can make a head for
a chain that was changed, and without the newest head nobody can cut records off its end unseen.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

_GENESIS: Final = b"appliance audit chain "
_HEAD: Final = b"appliance audit head\n"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a chain stands: the number of its last record (0: none yet) and that record's hash."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """A chain's last record at a moment, as its writer signed it."""

    chain: str
    number: int
    digest: str
    mac: str


@dataclass(frozen=True, slots=True)
class Break:
    """The first record that is not as it was written. `line` counts from 1 in what was read; 0: what is missing."""

    chain: str
    number: int
    line: int
    problem: str


def start(chain: str) -> Link:
    """Before the first record; each chain has its own, so no record of another one fits."""
    return Link(0, hashlib.sha256(_GENESIS + chain.encode()).hexdigest())


def linked(after: Link, record: Mapping[str, Any]) -> tuple[bytes, Link]:
    """The line of the next record, without its end, and where the chain stands then."""
    line = orjson.dumps({"n": after.number + 1, "prev": after.digest, **record})
    return line, Link(after.number + 1, hashlib.sha256(line).hexdigest())


def parsed(line: bytes) -> Mapping[str, Any] | None:
    """A record; None for what is none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("n"), int) or not isinstance(record.get("prev"), str):
        return None
    return record


def link_of(line: bytes, record: Mapping[str, Any]) -> Link:
    """Where the chain stands after this line."""
    return Link(record["n"], hashlib.sha256(line).hexdigest())


def signed(chain: str, link: Link, key: bytes) -> Head:
    """The head of a chain that stands at `link`."""
    return Head(chain, link.number, link.digest, _mac(chain, link.number, link.digest, key))


def genuine(head: Head, key: bytes) -> bool:
    """Whether the head was made with this key."""
    return hmac.compare_digest(head.mac, _mac(head.chain, head.number, head.digest, key))


def first_break(
    chain: str, lines: Iterable[bytes], heads: Iterable[Head], key: bytes, first: int = 1
) -> tuple[Break | None, Link]:
    """The first break in `lines`, each with its end, and where the chain stands before it, or at its end.

    The lines begin with record `first`; where that is not 1, those before are elsewhere. Each of the `heads` must be
    genuine and fit its record; the highest of them says how many records there must be at least. Half a line behind
    that is none of a break: the writer was ended in the middle of it, and no answer waited for it.
    """
    at = start(chain) if first == 1 else Link(first - 1, "")
    wanted = {head.number: head for head in heads}
    for head in wanted.values():
        if head.chain != chain or not genuine(head, key):
            return Break(chain, head.number, 0, "the head was not made with this key, or was changed"), at
    if not wanted:
        return Break(chain, 0, 0, "there is no head, so nobody can say whether records are missing at the end"), at
    last = max(wanted)
    for count, whole in enumerate(lines, 1):
        line = whole.removesuffix(b"\n")
        if line == whole and at.number >= last:
            return None, at
        problem, link = _next(at, line) if line != whole else ("the line has no end", at)
        if not problem and link.number in wanted and wanted[link.number].digest != link.digest:
            problem = "the record is not the one that the head names"
        if problem:
            return Break(chain, at.number + 1, count, problem), at
        at = link
    if last > at.number:
        return Break(chain, at.number + 1, 0, f"records are missing at the end: the head names record {last}"), at
    return None, at


def _next(at: Link, line: bytes) -> tuple[str, Link]:
    record = parsed(line)
    if record is None:
        return "not a record", at
    if record["n"] != at.number + 1:
        return f"record {record['n']} stands where record {at.number + 1} belongs", at
    if at.digest and record["prev"] != at.digest:
        return "the record before it is not the one that it was linked to: one of the two was changed", at
    return "", link_of(line, record)


def _mac(chain: str, number: int, digest: str, key: bytes) -> str:
    return hmac.digest(key, _HEAD + orjson.dumps([chain, number, digest]), "sha256").hex()
