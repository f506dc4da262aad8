"""One file that goes into a bundle: from the disk, or made on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.airgap.copying import Read, file_reader
from appliance.catalog.files import files_below
from appliance.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Source:
    """A path in the bundle and where its content comes from: a file, or bytes. `sha256` where it has to be that."""

    path: str
    origin: Path | bytes
    size_bytes: int
    sha256: str | None = None

    @property
    def origin_name(self) -> str:
        """For messages."""
        return self.path if isinstance(self.origin, bytes) else str(self.origin)

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """The content, to be read at positions. Raises OSError."""
        if isinstance(self.origin, bytes):
            yield _bytes_reader(memoryview(self.origin))
            return
        descriptor = os.open(self.origin, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield file_reader(descriptor)
        finally:
            os.close(descriptor)


def made(path: str, content: bytes) -> Source:
    """A file that is written for the bundle."""
    return Source(path, content, len(content))


def from_file(path: str, file: Path, sha256: str | None = None) -> Source:
    """A file of this machine; links are followed. Raises ConfigError."""
    if not file.is_file():
        raise ConfigError(f"{file}: is no file that can be taken along")
    return Source(path, file.resolve(), file.stat().st_size, sha256)


def tree(room: str, directory: Path) -> Iterator[Source]:
    """All files below a directory but hidden ones; nothing where it is not there."""
    for file in files_below(directory):
        if "__pycache__" not in file.parts:
            yield from_file(f"{room}/{file.relative_to(directory).as_posix()}", file)


def _bytes_reader(content: memoryview) -> Read:
    def read(position: int, buffer: memoryview) -> int:
        piece = content[position : position + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    return read
