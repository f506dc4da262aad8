"""The gateways that are compared, each as a process of its own on one core, in front of the same mock engine.

The peers live in environments of their own below `.venv-peers/`, made from hash-locked requirement files the first
time they are wanted.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from appliance.bench.mock_engine import MODEL
from benchmarks.relay.load import Target

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers"
LITELLM = "LiteLLM"
ROUTER = "vllm-router"
OURS = "appliance"
AUDITED = "appliance, audited"
DIRECT = "direct"

_KEY = "sk-benchmark-key-of-all-gateways"
_START_S = 120.0
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
_LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: "openai/{model}", api_base: "{engine}/v1", api_key: "none"}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false, num_retries: 1}}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers."""

    target: Target
    pid: int

    def cpu_s(self) -> float:
        """Of all threads of its process tree, from the scheduler's own counts."""
        root = psutil.Process(self.pid)
        return sum(_thread_s(process.pid) for process in (root, *root.children(recursive=True)))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mock_engine(core: int | None) -> Iterator[str]:
    """The engine behind all of them; yields its URL."""
    port = free_port()
    argv = [sys.executable, "-m", "appliance.bench.mock_engine", "--port", str(port)]
    with _process(argv, core, {}, None) as running:
        url = f"http://127.0.0.1:{port}"
        _until_up(f"{url}/health", running)
        yield url


@contextmanager
def gateways(names: Sequence[str], engine: str, scratch: Path, core: int | None) -> Iterator[dict[str, Running]]:
    """Those that are wanted, all at once; only one of them is asked at a time."""
    with ExitStack() as stack:
        found = {}
        for name in names:
            found[name] = stack.enter_context(_STARTERS[name](engine, scratch, core))
        yield found


@contextmanager
def _ours(engine: str, scratch: Path, core: int | None, name: str = OURS, audit: str = "off") -> Iterator[Running]:
    port, place = free_port(), scratch / audit
    argv = [sys.executable, "-m", "benchmarks.relay.worker", "--engine", engine, "--port", str(port)]
    argv += ["--data-dir", str(place), "--key", _KEY, "--audit", audit]
    with _process(argv, core, {}, scratch / f"appliance-{audit}.log") as running:
        target = Target(name, f"http://127.0.0.1:{port}", _KEY)
        _until_up(f"{target.url}/health", running)
        yield Running(target, running.pid)


@contextmanager
def _router(engine: str, scratch: Path, core: int | None) -> Iterator[Running]:
    port = free_port()
    argv = [str(environment(ROUTER) / "bin" / "vllm-router"), "--worker-urls", engine, "--port", str(port)]
    argv += ["--prometheus-port", str(free_port()), "--log-level", "warning"]
    with _process(argv, core, {}, scratch / "vllm-router.log") as running:
        target = Target(ROUTER, f"http://127.0.0.1:{port}", _KEY)
        _until_up(f"{target.url}/health", running)
        yield Running(target, running.pid)


@contextmanager
def _litellm(engine: str, scratch: Path, core: int | None) -> Iterator[Running]:
    port, config = free_port(), scratch / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=MODEL, engine=engine, key=_KEY), encoding="utf-8")
    argv = [str(environment("litellm") / "bin" / "litellm"), "--config", str(config), "--port", str(port)]
    argv += ["--host", "127.0.0.1", "--num_workers", "1"]
    with _process(argv, core, _QUIET, scratch / "litellm.log") as running:
        target = Target(LITELLM, f"http://127.0.0.1:{port}", _KEY)
        _until_up(f"{target.url}/health/liveliness", running)
        yield Running(target, running.pid)


_STARTERS: Mapping[str, Callable[[str, Path, int | None], AbstractContextManager[Running]]] = {
    OURS: _ours,
    AUDITED: partial(_ours, name=AUDITED, audit="required"),
    ROUTER: _router,
    LITELLM: _litellm,
}


def environment(peer: str) -> Path:
    """The peer's own environment, made the first time."""
    place = PEERS / peer
    if not (place / "bin" / "python").exists():
        print(f"==> {place}: installing {peer}, once")
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        lock = ROOT / "requirements" / f"peer-{peer}.txt"
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)]
        subprocess.run(install, check=True)
    return place


@contextmanager
def _process(
    argv: list[str], core: int | None, extra: Mapping[str, str], log: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    pinned = argv if core is None else ["taskset", "-c", str(core), *argv]
    environment = {**os.environ, **extra, "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        out = subprocess.DEVNULL if log is None else stack.enter_context(log.open("wb"))
        process = subprocess.Popen(pinned, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + _START_S
    while time.monotonic() < ends_s:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it answered")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (a loopback address of our own)
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer within {_START_S:g} s")


def _thread_s(pid: int) -> float:
    """Seconds on a core, of all threads of a process that are there now."""
    total = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(stat.read_text().split()[0])
        except OSError:
            continue
    return total / 1e9
