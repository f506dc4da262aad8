"""The log files of an engine, which its guardian writes: where one begins, and what to quote when the engine dies."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.engines import guardian

QUOTED_BYTES = 200_000
QUOTED_LINES = 2
QUOTED_CHARS = 400
START_BYTES = 2_000_000
"""A start writes some 100 kB, more where it warns a lot; what ran before it may stand in the same file."""

_PREFIX = re.compile(r"^(?:\(\w+ pid=\d+\) )?(?:(?:ERROR|WARNING|INFO) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?)?")
_TELLING = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt)\b: .+|Value error, .+|\S+\.py: error: .+|Killed\b.*)")
_SECOND_HAND = re.compile(r"^(?:RuntimeError: Engine core initialization failed|[\w.]*ValidationError: \d+ validation)")


@dataclass(frozen=True, slots=True)
class EngineLog:
    """A log file; what this run of the engine wrote begins at `offset` (bytes), or in the file before where this one
    was set aside meanwhile."""

    path: Path
    offset: int

    def quote(self) -> str:
        """The lines that say why the engine died, in one line."""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < self.offset:
                return " | ".join(telling_lines(read_end(self.path, QUOTED_BYTES)))
            file.seek(max(self.offset, size - QUOTED_BYTES))
            return " | ".join(telling_lines(file.read().decode(errors="replace")))


def open_log(path: Path) -> EngineLog:
    """Make the file (readable by its owner alone), or go on with it.

    One that is half full is set aside first: a start, which is what people look for, shall stand in one file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size >= guardian.ROTATE_AT_BYTES / 2:
        guardian.set_aside(path)
    path.touch(mode=0o600, exist_ok=True)
    return EngineLog(path, path.stat().st_size)


def read_end(path: Path, size_bytes: int = START_BYTES) -> str:
    """The end of a log as text, with what was set aside last before it; empty where there is none."""
    parts: list[bytes] = []
    for part in (path, path.with_name(f"{path.name}.1")):
        left = size_bytes - sum(map(len, parts))
        with suppress(OSError), part.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - left))
            parts.insert(0, file.read())
    return b"".join(parts).decode(errors="replace")


def telling_lines(text: str) -> tuple[str, ...]:
    """The root cause in the end of a vLLM log; the last lines when there is no error in it.

    vLLM writes the same error once per process, the cause before what followed from it.
    """
    lines = [_PREFIX.sub("", line).strip() for line in text.splitlines()]
    telling = list(dict.fromkeys(line for line in lines if _TELLING.match(line)))
    causes = [line for line in telling if not _SECOND_HAND.match(line)] or telling
    chosen = causes[:QUOTED_LINES] or [line for line in lines if line][-QUOTED_LINES:]
    return tuple(line if len(line) <= QUOTED_CHARS else line[: QUOTED_CHARS - 1] + "…" for line in chosen)
