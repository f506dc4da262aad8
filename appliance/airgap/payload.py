"""The payload on disk: one file, or parts of it for small media, read and written as one."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from appliance.errors import BundleIncomplete

NAME = "payload.tar"
_PART = re.compile(re.escape(NAME) + r"\.(\d{3,6})\Z")


class Payload:
    """Open parts in their order. Reads and writes at a position, from several threads."""

    def __init__(self, descriptors: Sequence[int], sizes: Sequence[int]) -> None:
        self._descriptors = tuple(descriptors)
        self._starts = [sum(sizes[:index]) for index in range(len(sizes))]
        self.size_bytes = sum(sizes)

    @classmethod
    @contextmanager
    def reading(cls, directory: Path) -> Iterator[Self]:
        """The payload of a bundle; empty where there is none. Raises BundleIncomplete."""
        with ExitStack() as stack:
            try:
                descriptors = [_opened(stack, path, os.O_RDONLY | os.O_NOFOLLOW) for path in parts_of(directory)]
            except OSError as error:
                raise BundleIncomplete(f"{error.filename}: can't be read: {error.strerror}") from None
            yield cls(descriptors, [os.fstat(descriptor).st_size for descriptor in descriptors])

    @classmethod
    @contextmanager
    def writing(cls, directory: Path, size_bytes: int, part_bytes: int | None) -> Iterator[Self]:
        """Parts of the right sizes, made or taken up again; on the disk when the block ends. Raises OSError."""
        sizes = part_sizes(size_bytes, part_bytes)
        with ExitStack() as stack:
            descriptors = []
            for path, size in zip(part_paths(directory, sizes, part_bytes), sizes, strict=True):
                descriptor = _opened(stack, path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
                os.ftruncate(descriptor, size)
                descriptors.append(descriptor)
            yield cls(descriptors, sizes)
            for descriptor in descriptors:
                os.fsync(descriptor)

    def read_into(self, position: int, buffer: memoryview) -> int:
        """Fill the beginning of `buffer` from one part; how many bytes, 0 at the end."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return 0
        try:
            return os.preadv(self._descriptors[index], [buffer], position - self._starts[index])
        except OSError as error:
            raise BundleIncomplete(f"part {index + 1} of the payload can't be read: {error.strerror}") from None

    def read(self, position: int, size_bytes: int) -> bytes:
        """At most so many bytes, fewer at the end alone. Raises BundleIncomplete."""
        buffer, done = memoryview(bytearray(size_bytes)), 0
        while done < size_bytes and (read := self.read_into(position + done, buffer[done:])):
            done += read
        return bytes(buffer[:done])

    def write(self, position: int, content: bytes | memoryview) -> None:
        """All of it, across parts. Raises OSError."""
        content = memoryview(content)
        while content:
            index = bisect_right(self._starts, position) - 1
            end = self._starts[index + 1] if index + 1 < len(self._starts) else self.size_bytes
            written = os.pwrite(self._descriptors[index], content[: end - position], position - self._starts[index])
            position, content = position + written, content[written:]


def parts_of(directory: Path) -> list[Path]:
    """The parts in their order. Raises BundleIncomplete where one in the middle is missing, or there are both forms."""
    whole = directory / NAME
    numbered = {int(found[1]): path for path in directory.iterdir() if (found := _PART.match(path.name))}
    if not numbered:
        return [whole] if whole.exists() else []
    if whole.exists():
        raise BundleIncomplete(f"{directory}: there are {NAME} and parts of it; remove what is not of this bundle")
    missing = sorted(set(range(1, max(numbered) + 1)) - set(numbered))
    if missing:
        names = ", ".join(f"{NAME}.{number:03}" for number in missing[:10])
        raise BundleIncomplete(f"{directory}: {names} missing; copy what is missing from the source")
    return [numbered[number] for number in sorted(numbered)]


def part_sizes(size_bytes: int, part_bytes: int | None) -> list[int]:
    """How large each part is."""
    if part_bytes is None:
        return [size_bytes]
    whole, rest = divmod(size_bytes, part_bytes)
    return [part_bytes] * whole + ([rest] if rest else [])


def part_paths(directory: Path, sizes: Sequence[int], part_bytes: int | None) -> list[Path]:
    """Their names."""
    if part_bytes is None:
        return [directory / NAME]
    return [directory / f"{NAME}.{number:03}" for number in range(1, len(sizes) + 1)]


def _opened(stack: ExitStack, path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    stack.callback(os.close, descriptor)
    return descriptor
