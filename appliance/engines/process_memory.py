"""Memory that an engine's processes take: of the machine, and of its GPUs. Blocks for milliseconds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress

import pynvml

from appliance.engines.processes import PROC, group_members

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
KIB = 1024


def group_pss_bytes(pgid: int) -> int | None:
    """Proportional set size of a process group: pages shared with others count by their part. None: nobody said."""
    found = [size for size in (_pss_bytes(pid) for pid in group_members(pgid)) if size is not None]
    return sum(found) if found else None


def group_gpu_bytes(pgid: int, gpu_ids: Collection[str]) -> int | None:
    """What a process group takes of the fullest of its GPUs (UUIDs), by NVML.

    None where NVML does not say: without a driver, and inside containers whose process ids it does not know.
    """
    pids = frozenset(group_members(pgid))
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        found = [_on_gpu(gpu_id, pids) for gpu_id in gpu_ids]
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    said = [size for size in found if size is not None]
    return max(said) if said and len(said) == len(found) else None


def _pss_bytes(pid: int) -> int | None:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None  # it has just ended, or belongs to somebody else
    found = _PSS.search(text)
    return int(found[1]) * KIB if found else None


def _on_gpu(gpu_id: str, pids: Collection[int]) -> int | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_id)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return None
    return _sum(process.usedGpuMemory for process in processes if process.pid in pids)


def _sum(sizes: Iterable[int | None]) -> int | None:
    """None as soon as one is not known, and where there are none."""
    known = list(sizes)
    return sum(size for size in known if size is not None) if known and None not in known else None
