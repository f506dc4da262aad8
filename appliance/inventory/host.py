"""CPUs and memory of this machine, or of the container it runs in."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from appliance.domain.gpu import Host

CGROUP = Path("/sys/fs/cgroup")


def read_host(cgroup: Path = CGROUP) -> Host:
    """What can be used now: the machine's memory, or what the control group (v2) leaves of its limit."""
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit = _number(cgroup / "memory.max")
    if limit is not None and limit < total:
        # The page cache is given back under pressure, so it doesn't count as taken.
        taken = (_number(cgroup / "memory.current") or 0) - _file_cache_bytes(cgroup)
        total, available = limit, min(available, max(0, limit - taken))
    return Host(cpus=len(os.sched_getaffinity(0)), total_bytes=total, available_bytes=available)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # no control group, or "max"


def _file_cache_bytes(cgroup: Path) -> int:
    try:
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return int(fields.get("active_file", 0)) + int(fields.get("inactive_file", 0))
