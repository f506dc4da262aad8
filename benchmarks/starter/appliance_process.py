"""Runs `appliance up` as a child, as a user would, and stops it cleanly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    running_file = settings.below_data_dir(Path("running.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "up", "--config", str(config)], env=environment, start_new_session=True
    )
    try:
        running = _wait_until_ready(process, running_file)
        key_file = settings.below_data_dir(settings.server.api_key_file)
        key = key_file.read_text(encoding="utf-8").split()[0]
        yield RunningAppliance(str(running["url"]), key, process)
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


def _wait_until_ready(process: subprocess.Popen[bytes], running_file: Path) -> Mapping[str, object]:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"`appliance up` ended with exit code {process.returncode}; its message stands above")
        running = _read(running_file)
        if running.get("pid") == process.pid and _is_ready(str(running["url"])):
            return running
        time.sleep(0.2)
    raise DemoFailed(f"the appliance was not ready after {START_LIMIT_S} s")


def _read(path: Path) -> Mapping[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=2) as answer:  # noqa: S310 (our own loopback address)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C as a user would; the whole session is killed if that does not end it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
