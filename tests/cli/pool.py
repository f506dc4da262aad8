"""A configuration whose engines are fake vLLM processes, and `appliance up` on it as a child."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.fakes.fake_pool_engine import interpreter

ROOT = Path(__file__).parents[2]
LIMIT_S = 90
MODEL_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}
MODELS = ("fake-planner", "fake-math", "fake-verifier", "fake-generalist")


def free_port() -> int:
    """A port that nothing listens on, below those that the system hands out to clients between now and its use."""
    while True:
        port = random.SystemRandom().randrange(10_000, 20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass(slots=True)
class Pool:
    """A configuration below `directory`; `config` is its file."""

    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "appliance.yaml"

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def write(self) -> None:
        """Write the configuration as `settings` has it now."""
        self.config.write_text(yaml.safe_dump(self.settings))

    def running(self) -> dict[str, Any]:
        """What running.json says; empty when it is not there."""
        try:
            document = json.loads((self.data_dir / "running.json").read_text())
        except FileNotFoundError:
            return {}
        assert isinstance(document, dict)
        return document

    def command(self, *arguments: str) -> list[str]:
        """A verb on this configuration."""
        return [sys.executable, "-m", "appliance", *arguments, "--config", str(self.config)]

    def up(self) -> subprocess.Popen[str]:
        """`appliance up` as a child, in a session of its own."""
        return subprocess.Popen(
            self.command("up"),
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A verb to its end."""
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )


def make_pool(directory: Path) -> Pool:
    """Four models, one engine each, on free ports."""
    for model in MODELS:
        _make_model(directory, model)
    engine = {"kv_cache_memory_bytes": 1_000_000, "max_model_len": 512}
    settings = {
        "data_dir": str(directory / "data"),
        "server": {"port": free_port(), "open_paths": ["/health", "/ready"]},
        "engines": {
            "python": str(interpreter(directory)),
            "device": "cpu",
            "first_port": free_port(),
            "start_timeout_s": LIMIT_S,
            "drain_timeout_s": 1,
        },
        "models": {"catalog": "catalog", "store": "store"},
        "pool": [{"model": model, "engine": engine} for model in MODELS],
        "roles": {
            "planner": ["fake-planner"],
            "executors": {"math": ["fake-math"]},
            "verifier": ["fake-verifier"],
            "generalist": ["fake-generalist"],
        },
        "coordinator": {"direct": {"cues": [r"\d+", "then"], "min_cues": 3}},
        "ledger": {"keep_content": True},
    }
    pool = Pool(directory, settings)
    pool.write()
    return pool


def _make_model(directory: Path, model: str) -> None:
    weights = directory / "store" / model
    weights.mkdir(parents=True)
    (weights / "config.json").write_text(json.dumps(MODEL_CONFIG))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (weights / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    manifest = {
        "id": model,
        "repository": f"local/{model}",
        "revision": "1" * 40,
        "licence": "Apache-2.0",
        "publisher": "nobody",
        "country": "none",
        "family": "fake",
        "architecture": "LlamaForCausalLM",
        "parameters": 1000,
        "dtype": "bfloat16",
        "context_tokens": 512,
        "roles": ["planner", "executor", "verifier", "generalist"],
        "skills": {"math": 0.9},
        "prompt_set": "starter",
        "files": [_described(file) for file in sorted(weights.iterdir())],
    }
    catalog = directory / "catalog"
    catalog.mkdir(exist_ok=True)
    (catalog / f"{model}.yaml").write_text(yaml.safe_dump(manifest))


def _described(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    return {"path": file.name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def wait_for(condition: Callable[[], object], child: subprocess.Popen[str] | None = None) -> None:
    """Return as soon as `condition()` is true; fail when the child ends first or the time is over."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if child is not None and child.poll() is not None:
            raise AssertionError(f"ended with {child.returncode}: {child.stdout.read() if child.stdout else ''}")
        if time.monotonic() > deadline:
            raise AssertionError("not within the time")
        time.sleep(0.02)


def wait_until_running(pool: Pool, child: subprocess.Popen[str]) -> str:
    """The URL, once the appliance is ready."""
    wait_for(lambda: pool.running().get("pid") == child.pid, child)
    return str(pool.running()["url"])


def family(child: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes below the child."""
    return psutil.Process(child.pid).children(recursive=True)


def stop(child: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Send the signal and wait; exit code and everything that was printed."""
    child.send_signal(number)
    output, _ = child.communicate(timeout=LIMIT_S)
    return child.returncode, output


def end(child: subprocess.Popen[str]) -> None:
    """For the end of a test that failed: nothing may be left."""
    if child.poll() is None:
        below = family(child)
        child.kill()
        for process in below:
            if process.is_running():
                process.kill()
    if child.stdout is not None and not child.stdout.closed:
        child.communicate()


def get(url: str, key: str | None = None) -> int:
    """Status of a GET."""
    request = urllib.request.Request(url, headers={} if key is None else {"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
