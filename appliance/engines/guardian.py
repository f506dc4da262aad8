"""The parent of one engine: ends the engine's whole process group when the appliance is gone, however it went.

    python -I guardian.py ARGV…        with stdin = the read end of a pipe that only the appliance can write to

It is started as the leader of its own process group and imports nothing of the appliance. When the appliance dies,
even by SIGKILL, the pipe ends and the group is killed: vLLM's server and the processes below it, which a death signal
to the server alone would leave behind. SIGTERM is passed on to the server, whose exit code it takes over.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Run `argv` to its end; its exit code, or 128 + signal."""
    engine: subprocess.Popen[bytes] | None = None

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        if engine is None:
            os._exit(128 + signal.SIGTERM)
        engine.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    # No thread runs yet, so a function between fork and exec is safe here.
    engine = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)
    threading.Thread(target=_watch, daemon=True).start()
    code = engine.wait()
    return code if code >= 0 else 128 - code


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _die_with_parent() -> None:
    # For the case that the guardian alone is killed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
