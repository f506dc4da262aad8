"""The form of a bundle's payload: a plain tar archive whose every byte follows from the list of its files. Pure.

Headers are made here, not by a library, so that a bundle of today can be checked byte for byte by every later version,
and so that an archive with a link, a device or anything else but the listed files can't be taken for this one. Other
programs read it as what it is (POSIX.1-2001, pax): `tar tf`, or `cat payload.tar.* | tar x`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)
_LONGEST_NAME = 100
_LARGEST_OCTAL_BYTES = 8**11 - 1
_REGULAR, _EXTENDED = b"0", b"x"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the payload."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member lies: its header from `header_at` on, its content from `content_at` to `end_at` before padding."""

    member: Member
    header: bytes
    header_at: int
    content_at: int

    @property
    def end_at(self) -> int:
        """After the last byte of the content."""
        return self.content_at + self.member.size_bytes

    @property
    def padding_bytes(self) -> int:
        """Zeros after the content."""
        return -self.member.size_bytes % BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Layout:
    """All members in their order, and the size of the archive."""

    places: Sequence[Place]
    size_bytes: int

    @property
    def end_at(self) -> int:
        """Where the two closing blocks begin."""
        return self.size_bytes - len(END)


def layout(members: Iterable[Member]) -> Layout:
    """Where everything lies."""
    places, position = [], 0
    for member in members:
        made = header(member)
        places.append(Place(member, made, position, position + len(made)))
        position = places[-1].end_at + places[-1].padding_bytes
    return Layout(tuple(places), position + len(END))


def header(member: Member) -> bytes:
    """All blocks before a member's content."""
    long = {}
    if len(member.path.encode()) > _LONGEST_NAME:
        long["path"] = member.path
    if member.size_bytes > _LARGEST_OCTAL_BYTES:
        long["size"] = str(member.size_bytes)
    short = _block(member.path.encode()[:_LONGEST_NAME], 0 if "size" in long else member.size_bytes, _REGULAR)
    if not long:
        return short
    records = b"".join(_record(key, value) for key, value in sorted(long.items()))
    padded = records + bytes(-len(records) % BLOCK_BYTES)
    return _block(b"pax-header", len(records), _EXTENDED) + padded + short


def _block(name: bytes, size_bytes: int, kind: bytes) -> bytes:
    """One header block: nobody's file, rw-r--r--, from the beginning of time."""
    fields = (
        (name, 100), (b"0000644\0", 8), (b"0000000\0", 8), (b"0000000\0", 8), (f"{size_bytes:011o}\0".encode(), 12),
        (b"00000000000\0", 12), (b" " * 8, 8), (kind, 1), (b"", 100), (b"ustar\00000", 8), (b"", 247),
    )  # fmt: skip
    block = b"".join(value.ljust(width, b"\0") for value, width in fields)
    return block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def _record(key: str, value: str) -> bytes:
    """`LENGTH key=value\\n`, where the length counts itself."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest
