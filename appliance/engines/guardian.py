"""The parent of one engine: ends the engine's whole process group when the appliance is gone, and keeps its log.

    python -I guardian.py LOG ARGV…    with stdin = the read end of a pipe that only the appliance can write to

It is started as the leader of its own process group and imports nothing of the appliance. When the appliance dies,
even by SIGKILL, the pipe ends and the group is killed: vLLM's server and the processes below it, which a death signal
to the server alone would leave behind. SIGTERM is passed on to the server, whose exit code it takes over.

What the engine says goes through a pipe into LOG, which is set aside each time it has grown to `ROTATE_AT_BYTES`; so an
engine that runs for months takes a bounded part of the disk. A disk that fails costs lines, never the engine.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1

ROTATE_AT_BYTES = 1_000_000
KEPT_FILES = 3
"""Set aside as LOG.1 (the newest), LOG.2, …"""
_READ_BYTES = 65_536
_LAST_LINES_S = 2.0
"""After the engine has ended; a child of its that lives on may hold the pipe for ever."""


def main(log: Path, argv: list[str]) -> int:
    """Run `argv` to its end; its exit code, or 128 + signal."""
    engine: subprocess.Popen[bytes] | None = None

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        if engine is None:
            os._exit(128 + signal.SIGTERM)
        engine.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    # No thread runs yet, so a function between fork and exec is safe here.
    reading, writing = os.pipe()
    engine = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, preexec_fn=_die_with_parent
    )
    os.close(writing)
    threading.Thread(target=_watch, daemon=True).start()
    keeping = threading.Thread(target=_keep, args=(reading, log), daemon=True)
    keeping.start()
    code = engine.wait()
    keeping.join(_LAST_LINES_S)
    return code if code >= 0 else 128 - code


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _keep(reading: int, log: Path) -> None:
    """Write all that comes to the log, until its writers are gone."""
    while piece := os.read(reading, _READ_BYTES):
        try:
            if log.exists() and log.stat().st_size >= ROTATE_AT_BYTES:
                set_aside(log)
            _append(log, piece)
        except OSError:
            continue  # a full disk: what can't be written is lost, and the engine must not wait for it


def _append(log: Path, piece: bytes) -> None:
    """Opened anew each time: whoever moves or removes the file gets what they want."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, piece)
    finally:
        os.close(file)


def set_aside(log: Path) -> None:
    """LOG becomes LOG.1, that becomes LOG.2, and so on; the oldest one goes."""
    names = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, KEPT_FILES + 1))]
    for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
        if newer.exists():
            newer.replace(older)


def _die_with_parent() -> None:
    # For the case that the guardian alone is killed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
