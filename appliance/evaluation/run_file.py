"""A run on disk: a header line, then one line for each attempt, written as it ends, so that a run can go on later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from appliance.errors import ConfigError
from appliance.evaluation.attempt import Attempt

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a run is of. Two runs with different headers, `about` left aside, can't be one."""

    suite: str
    suite_digest: str
    targets: tuple[str, ...]
    repeats: int
    seed: int
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Machine, versions and time, for people."""
    format: int = _FORMAT


@dataclass(frozen=True, slots=True)
class Run:
    """A header and the attempts so far, in the order in which they ended."""

    header: Header
    attempts: tuple[Attempt, ...]


_HEADER, _ATTEMPT = TypeAdapter(Header), TypeAdapter(Attempt)


class RunFile:
    """Appends to a run; a context. `before` are the attempts that the file held already.

    Raises ConfigError when the file is of another run, or is none.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path, header
        self.before: tuple[Attempt, ...] = ()
        if path.exists() and path.stat().st_size:
            found = read_run(path)
            if found.header != header:
                raise ConfigError(f"{path}: {_difference(found.header, header)}; name another file with --out")
            self.header, self.before = found.header, found.attempts
            _cut_broken_end(path)
            self._file: IO[bytes] = path.open("ab")
        else:
            self._file = _made(path)
            self._write(_HEADER.dump_json(header))

    def __enter__(self) -> RunFile:
        return self

    def __exit__(self, *_reason: object) -> None:
        self._file.close()

    def append(self, attempt: Attempt) -> None:
        """Write one line; it is in the file when this returns."""
        self._write(_ATTEMPT.dump_json(attempt))

    def _write(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._file.flush()


def read_run(path: Path) -> Run:
    """A run, finished or not; a last line that was cut while it was written is left out. Raises ConfigError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: the run can't be read: {error}") from None
    complete = [line for line in lines[:-1] if line.strip()]
    if not complete:
        raise ConfigError(f"{path}: holds no run; make one with `appliance eval run`")
    try:
        header = _HEADER.validate_json(complete[0])
    except ValidationError:
        raise ConfigError(f"{path}: line 1 is not the header of a run; make one with `appliance eval run`") from None
    if header.format != _FORMAT:
        raise ConfigError(f"{path}: a run of format {header.format}; this version reads format {_FORMAT}")
    return Run(header, tuple(_attempt(path, number, line) for number, line in enumerate(complete[1:], 2)))


def rewrite(path: Path, run: Run) -> None:
    """Replace a run as a whole, in one step."""
    draft = path.with_name(f"{path.name}.draft")
    lines = [_HEADER.dump_json(run.header), *(_ATTEMPT.dump_json(attempt) for attempt in run.attempts)]
    draft.write_bytes(b"".join(line + b"\n" for line in lines))
    draft.replace(path)


def _attempt(path: Path, number: int, line: bytes) -> Attempt:
    try:
        return _ATTEMPT.validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(
            f"{path}: line {number} is no attempt ({problem['msg']}); take it out, or start anew"
        ) from None


def _cut_broken_end(path: Path) -> None:
    """What stands after the last line end was being written when the run was stopped."""
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _made(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise ConfigError(f"{path}: the run can't be written there: {error}") from None


def _difference(found: Header, wanted: Header) -> str:
    if found.suite_digest != wanted.suite_digest:
        return f"is a run of {found.suite} as it was before the suite was changed"
    mine, theirs = orjson.loads(_HEADER.dump_json(wanted)), orjson.loads(_HEADER.dump_json(found))
    names = [name for name in mine if name != "about" and mine[name] != theirs[name]]
    return f"is a run with other {', '.join(names)}"
