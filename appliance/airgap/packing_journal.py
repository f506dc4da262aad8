"""What an interrupted run had packed already."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from appliance.airgap.source import Source


@dataclass(frozen=True, slots=True)
class Done:
    """A file that was written to the payload, as it was on the disk then."""

    path: str
    size_bytes: int
    changed_unix_ns: int
    content_at: int
    sha256: str

    @classmethod
    def of(cls, source: Source, content_at: int, sha256: str) -> Self:
        """`source` as it is now."""
        return cls(source.path, source.size_bytes, _changed_unix_ns(source), content_at, sha256)


class PackingJournal:
    """A line for each finished file below a line that says which payload they are of."""

    def __init__(self, file: IO[str], done: dict[str, Done], continued: bool) -> None:
        self._file, self._done = file, done
        self._writing = threading.Lock()
        self.continued = continued

    @classmethod
    @contextmanager
    def open(cls, path: Path, payload: str) -> Iterator[Self]:
        """Go on with the journal of the same payload, or begin a new one."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        continued = lines[:1] == [payload]
        with path.open("a" if continued else "w", encoding="utf-8") as file:
            if not continued:
                file.write(f"{payload}\n")
                file.flush()
            yield cls(file, dict(_read(lines[1:])) if continued else {}, continued)

    def done(self, source: Source) -> Done | None:
        """What is known of `source`, if it has not changed since. A file that is made on the way is made again."""
        found = self._done.get(source.path)
        if found is None or isinstance(source.origin, bytes):
            return None
        same = (found.size_bytes, found.changed_unix_ns) == (source.size_bytes, _changed_unix_ns(source))
        return found if same else None

    def add(self, done: Done) -> None:
        """Note it. It is trusted only after what it says was read again, so nothing waits for the disk."""
        with self._writing:
            self._file.write(json.dumps(asdict(done)) + "\n")
            self._file.flush()


def _read(lines: list[str]) -> Iterator[tuple[str, Done]]:
    for line in lines:
        try:
            done = Done(**json.loads(line))
        except (ValueError, TypeError):
            continue  # the last line of a run that was killed
        yield done.path, done


def _changed_unix_ns(source: Source) -> int:
    return 0 if isinstance(source.origin, bytes) else source.origin.stat().st_mtime_ns
