"""A process of the engine interpreter that puts tensors on a card step by step, and waits to be looked at."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.engine_commands import ROOT

PYTHON = Path(os.environ.get("APPLIANCE_ENGINE_PYTHON", ROOT / ".venv-engine/bin/python"))
HAS_CUDA = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
SCRIPT = """
import json, sys
import torch

def look():
    torch.cuda.synchronize()
    facts = {
        "allocated_bytes": torch.cuda.memory_allocated(),
        "reserved_bytes": torch.cuda.memory_reserved(),
        "cuda_total_bytes": torch.cuda.mem_get_info()[1],
    }
    print(json.dumps(facts), flush=True)
    sys.stdin.readline()

square = torch.ones(256, 256, device="cuda", dtype=torch.bfloat16)
square = square @ square  # makes cuBLAS take its workspace, as an engine does when it warms up
look()
weights = [torch.zeros(shape, device="cuda", dtype=torch.bfloat16) for shape in json.loads(sys.argv[1])]
look()
"""
LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Look:
    """What torch says of its own memory: bytes in tensors, bytes taken for them, and CUDA's size of the card."""

    allocated_bytes: int
    reserved_bytes: int
    cuda_total_bytes: int


@dataclass(slots=True)
class TorchProcess:
    """The process: `next_look` waits for the next step, and the process waits there until it is asked for another."""

    process: subprocess.Popen[str]
    started: bool = False

    @property
    def pid(self) -> int:
        """Its pid, in this namespace."""
        return self.process.pid

    def next_look(self) -> Look:
        """CUDA's context and cuBLAS first; then all weights too."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.started:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.started = True
        line = self.process.stdout.readline()
        assert line, f"torch ended with {self.process.wait(LIMIT_S)}; its complaint stands above"
        return Look(**json.loads(line))


@contextmanager
def torch_process(device: str, shapes: Sequence[Sequence[int]]) -> Iterator[TorchProcess]:
    """On `device` (UUID of a GPU or MIG instance); ended when the block ends."""
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": device}
    environment.pop("PYTORCH_CUDA_ALLOC_CONF", None)
    environment.pop("PYTORCH_ALLOC_CONF", None)
    process = subprocess.Popen(
        [str(PYTHON), "-c", SCRIPT, json.dumps(shapes)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield TorchProcess(process)
        finally:
            process.kill()


def why_no_torch(device: str) -> str:
    """Why torch can't use `device` from the engine interpreter; empty where it can."""
    if not PYTHON.exists():
        return f"there is no engine interpreter {PYTHON}; run `make setup`, or set APPLIANCE_ENGINE_PYTHON"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    done = subprocess.run([str(PYTHON), "-c", HAS_CUDA], env=environment, capture_output=True, timeout=LIMIT_S)
    return "" if done.returncode == 0 else f"torch of {PYTHON} is missing or built without CUDA"
