"""Processes of engines as the kernel sees them: groups, start times, and records of what may be left over."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")
BOOT_ID = PROC / "sys/kernel/random/boot_id"
KILL_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """The process group of one engine.

    `pgid` is the guardian's pid; `start_ticks` is when it started, in clock ticks after boot; `executable` is what the
    engine's processes run.
    """

    engine_id: str
    pgid: int
    start_ticks: int
    boot_id: str
    executable: str

    def write(self, path: Path) -> None:
        """Replace `path` in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.replace(path)


def record_of(engine_id: str, pgid: int, executable: str) -> ProcessRecord | None:
    """The record of a group that was just started; None when its leader is gone already."""
    ticks = start_ticks(pgid)
    if ticks is None:
        return None
    return ProcessRecord(engine_id, pgid, ticks, boot_id(), os.path.realpath(executable))


def boot_id() -> str:
    """The id of this boot; start times and pids of another one mean nothing."""
    return BOOT_ID.read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None when there is none or only its remains."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def group_members(pgid: int) -> tuple[int, ...]:
    """Living processes of a group (zombies do not live)."""
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return tuple(pid for pid in pids if (fields := _stat(pid)) is not None and int(fields[2]) == pgid)


def kill_group(pgid: int) -> None:
    """SIGKILL to all of a group; nothing when there is none."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def end_leftovers(state_dir: Path) -> tuple[str, ...]:
    """Kill what earlier runs left behind, by the records in `state_dir`; the ids of the engines that were ended.

    A process is touched only when it is surely the recorded one: same boot, and the group's leader started at the
    recorded tick; or the leader is gone and the rest of its group runs the recorded executable. Blocks until the
    processes are gone, a few seconds at the most.
    """
    ended = []
    for path in sorted(state_dir.glob("*.json")):
        record = _read(path)
        if record is not None and (pids := _own(record)):
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            _wait_gone(pids)
            ended.append(record.engine_id)
        path.unlink(missing_ok=True)
    return tuple(ended)


def _read(path: Path) -> ProcessRecord | None:
    try:
        return ProcessRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _own(record: ProcessRecord) -> tuple[int, ...]:
    if record.boot_id != boot_id():
        return ()
    members = group_members(record.pgid)
    leader = start_ticks(record.pgid)
    if leader is not None:
        return members if leader == record.start_ticks else ()
    return tuple(pid for pid in members if _executable(pid) == record.executable)


def _executable(pid: int) -> str:
    try:
        return str((PROC / str(pid) / "exe").readlink())
    except OSError:
        return ""


def _wait_gone(pids: Iterable[int]) -> None:
    deadline_s = time.monotonic() + KILL_WAIT_S
    while any(start_ticks(pid) is not None for pid in pids) and time.monotonic() < deadline_s:
        time.sleep(0.02)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (state, ppid, pgrp, …); None for a zombie or nobody."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the name in parentheses, which may hold blanks and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return None if not fields or fields[0] in "ZX" else fields
