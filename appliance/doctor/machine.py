"""The machine: driver, GPUs, memory, disks, limits, clock."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from appliance.doctor.finding import Finding, fail, ok, warn
from appliance.errors import InventoryError
from appliance.inventory.host import read_host
from appliance.inventory.nvml import driver_version, scan_gpus, unhealthy_line

GIB = 2**30
LEAST_DRIVER = 580
"""The first branch that runs CUDA 13, which vLLM's wheels are built with."""
LEAST_FILES = 4096
"""A gateway with a thousand streams has two connections for each of them."""
PROBE_BYTES = 64 << 20
SLOW_BYTES_PER_S = 100_000_000
LEAST_FREE_BYTES = 10 * GIB
STA_UNSYNC = 0x40


def gpus(wanted: bool) -> Iterator[Finding]:
    """Driver and devices. Where no GPU is `wanted`, none is missed."""
    check = "GPUs"
    try:
        found = scan_gpus()
    except InventoryError as error:
        yield (fail if wanted else warn)(check, str(error), "mend the driver; `nvidia-smi` has to work")
        return
    if not found:
        if wanted:
            yield fail(check, "no NVIDIA GPU or no driver", "install the driver, or set engines.device: cpu")
        else:
            yield ok(check, "none; engines run on the CPU")
        return
    yield _driver(driver_version())
    for gpu in found:
        if gpu.unhealthy:
            yield fail(check, unhealthy_line(gpu), "leave it out, or mend it")
        else:
            free = f"{gpu.free_bytes / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB free"
            taken = gpu.others_bytes() > gpu.total_bytes // 20
            yield (
                warn(
                    check,
                    f"{gpu.index} {gpu.name}: {free}",
                    "other programs hold memory of it; end them, or plan with it",
                )
                if taken
                else ok(check, f"{gpu.index} {gpu.name}: {free}")
            )


def _driver(version: str) -> Finding:
    branch = version.partition(".")[0]
    if branch.isdigit() and int(branch) < LEAST_DRIVER:
        return warn(
            "driver", f"{version} is older than {LEAST_DRIVER}", "vLLM's wheels need CUDA 13; update the driver"
        )
    return ok("driver", version or "unknown")


def memory(wanted_bytes: int) -> Finding:
    """Of this machine, or of the container; `wanted_bytes` is what the engines take of it."""
    host = read_host()
    says = f"{host.available_bytes / GIB:.1f} of {host.total_bytes / GIB:.1f} GiB free, {host.cpus} CPUs"
    if host.available_bytes < wanted_bytes:
        return fail("memory", says, f"about {wanted_bytes / GIB:.1f} GiB are needed; end other programs or serve less")
    return ok("memory", says)


def disk(name: str, directory: Path) -> Iterator[Finding]:
    """Room below a directory, and how fast it is written. The probe is removed again."""
    check = f"disk of {name}"
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    room = f"{free / GIB:.1f} GiB free at {there}"
    if free < LEAST_FREE_BYTES:
        yield warn(check, room, "logs, traces and caches grow; make room, or name another directory")
    else:
        yield ok(check, room)
    if not os.access(there, os.W_OK):
        yield warn(check, f"{there} can't be written by this user", "right for a store; wrong for data_dir")
        return
    try:
        speed = write_speed(there, min(PROBE_BYTES, free // 4))
    except OSError as error:
        yield fail(check, f"{there} can't be written: {error.strerror}", "name another directory")
        return
    says = f"written at {speed / 1e6:,.0f} MB/s"
    if speed < SLOW_BYTES_PER_S:
        yield warn(check, says, "weights will load slowly; take a local disk")
    else:
        yield ok(check, says)


def write_speed(directory: Path, size_bytes: int) -> float:
    """Bytes a second until they are on the disk."""
    path = directory / f".speed-{os.getpid()}"
    piece = os.urandom(1 << 20)
    try:
        with path.open("xb") as file:
            started = time.perf_counter()
            for _ in range(max(1, size_bytes // len(piece))):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            return max(1, size_bytes // len(piece)) * len(piece) / (time.perf_counter() - started)
    finally:
        path.unlink(missing_ok=True)


def file_limit() -> Finding:
    """Open files of this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < LEAST_FILES:
        return warn("file limit", f"{soft} open files", f"`ulimit -n {min(65536, hard)}`, or LimitNOFILE= in the unit")
    return ok("file limit", f"{soft} open files")


def hugepages(system: Path = Path("/sys/kernel/mm/transparent_hugepage/enabled")) -> Finding:
    """Large pages make the loading and pinning of weights quicker; `never` costs a little, nothing else."""
    try:
        chosen = system.read_text(encoding="ascii").partition("[")[2].partition("]")[0]
    except OSError:
        return ok("hugepages", "this kernel does not tell")
    if chosen == "never":
        return warn("hugepages", "transparent hugepages are off", f"`echo madvise > {system}`")
    return ok("hugepages", f"transparent hugepages: {chosen}")


def clock(now_unix_s: float, built: Path = Path(__file__)) -> Finding:
    """Certificates, tokens and traces are dated; in an isolated network nobody mends a wrong clock."""
    if now_unix_s < built.stat().st_mtime - 86_400:
        return fail("clock", "stands before the time when this program was installed", "set it; run a time server")
    if _unsynchronized():
        return warn("clock", "is set by nobody", "run chrony with a time server of the private network")
    return ok("clock", "is kept by a time server")


def _unsynchronized() -> bool:
    """What the kernel says (adjtimex)."""
    buffer = ctypes.create_string_buffer(512)  # struct timex, zero modes: read only
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None).adjtimex(buffer) >= 0:
            # modes, four longs, then status: 4 bytes and padding, 8 each
            return bool(int.from_bytes(buffer.raw[40:44], "little") & STA_UNSYNC)
    return True
