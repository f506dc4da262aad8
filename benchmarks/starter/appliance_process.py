"""Runs `appliance up` as a child, as a user would, and stops it cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.bootstrap.data_dir import Running, read_running
from appliance.config import load

START_LIMIT_S = 400


class DemoFailed(Exception):
    """The job was not done; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class RunningAppliance:
    """Where it listens, its key, and its process."""

    url: str
    api_key: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_appliance(config: Path) -> Iterator[RunningAppliance]:
    """`appliance up --config …` until the block ends. Raises DemoFailed when it does not come up or stop cleanly."""
    settings = load(config)
    port = _free_port(settings.server.host, settings.server.port)
    environment = {**os.environ, "APPLIANCE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "up", "--config", str(config)], env=environment, start_new_session=True
    )
    try:
        running = _wait_until_ready(process, settings.data_dir)
        key = running.api_key_file.read_text(encoding="utf-8").split()[0] if running.api_key_file else "none"
        yield RunningAppliance(running.url, key, process)
    finally:
        code = _stop(process)
    if code not in {0, 130}:
        raise DemoFailed(f"`appliance up` ended with exit code {code} instead of 0")


def _free_port(host: str, wanted: int) -> int:
    """`wanted`, or any free port where another program already has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed(f"no free port on {host}")


def _wait_until_ready(process: subprocess.Popen[bytes], data_dir: Path) -> Running:
    """The appliance announces itself when every engine is ready."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"`appliance up` ended with exit code {process.returncode}; its message stands above")
        running = read_running(data_dir)
        if running is not None and running.pid == process.pid:
            return running
        time.sleep(0.2)
    raise DemoFailed(f"the appliance was not ready after {START_LIMIT_S} s")


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C as a user would; the whole session is killed if that does not end it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def appliance(*arguments: str, may_end_with: Collection[int] = (0,)) -> str:
    """The command line, which finds the appliance through its data directory; what it prints."""
    done = subprocess.run([sys.executable, "-m", "appliance", *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode not in may_end_with:
        raise DemoFailed(f"`appliance {' '.join(arguments)}` ended with {done.returncode}; its message stands above")
    return done.stdout
