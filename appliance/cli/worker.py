"""`appliance worker`: started by `up` and `serve` with several workers, not by hand."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from appliance.bootstrap.worker import build_worker
from appliance.bootstrap.worker_message import read_message
from appliance.cli.process import log_to, run


def worker() -> None:
    """Answer requests for a main process, whose message is the first line of standard input."""
    message = read_message(sys.stdin.buffer.readline())
    settings = message.settings
    process = build_worker(message)
    log_to(settings, message.log_to_stderr, f"worker-{message.number}")
    longest_s = settings.server.drain_timeout_s + 5
    threading.Thread(target=_end_with_main, args=(longest_s,), daemon=True, name="main process").start()
    run(process)


def _end_with_main(longest_s: float) -> None:
    """The main process holds the other end of standard input: when it is gone, however it went, so are we."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(longest_s)
    os._exit(1)
