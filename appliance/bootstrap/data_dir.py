"""The data directory belongs to one appliance at a time, and says where that one listens."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import AlreadyRunning, ConfigError

_LOCK = "lock"
_RUNNING = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A running appliance, as other verbs of the command line find it."""

    url: str
    pid: int
    api_key_file: Path | None


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory; it is made when missing.

    The kernel gives the lock back when the process ends, however it ends, so a killed run leaves no lock behind.
    Raises AlreadyRunning with the holder's pid, or ConfigError when the directory can't be used.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"data_dir: {data_dir} can't be used: {error.strerror}; name another directory") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"an appliance (pid {holder}) is already running on {data_dir}; stop it, or set another data_dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that neither a reader nor a crash ever meets half of it. Blocks."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def write_running(data_dir: Path, running: Running) -> None:
    """Announce a running appliance."""
    document = {
        "url": running.url,
        "pid": running.pid,
        "api_key_file": None if running.api_key_file is None else str(running.api_key_file.resolve()),
        "started_unix_s": time.time(),
    }
    write_whole(data_dir / _RUNNING, json.dumps(document).encode() + b"\n")


def remove_running(data_dir: Path) -> None:
    """Take the announcement back."""
    (data_dir / _RUNNING).unlink(missing_ok=True)


def read_running(data_dir: Path) -> Running | None:
    """The appliance that runs on this directory; None when there is none, or only the note of a killed one."""
    try:
        document = json.loads((data_dir / _RUNNING).read_text(encoding="utf-8"))
        key_file = document["api_key_file"]
        found = Running(str(document["url"]), int(document["pid"]), None if key_file is None else Path(key_file))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if _alive(found.pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
