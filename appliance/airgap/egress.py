"""The proof that nothing calls out: a command runs in a network namespace with loopback alone, its attempts are noted.

`strace` sees each attempt with the process's own words, even those that send nothing. Where it is not installed, every
address of the world leads into the namespace itself, and the packets are seen there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.airgap.strace_log import Attempt, attempts
from appliance.errors import EgressUnknown

STRACE, PACKETS = "strace", "packets"
_INSIDE = "appliance.airgap.inside"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command did: its exit code, and whom it tried to reach, by how often. `method` says how that is known."""

    code: int
    method: str
    attempts: Counter[Attempt]

    @property
    def outside(self) -> tuple[tuple[Attempt, int], ...]:
        """Attempts that would have left the machine, and questions to name servers."""
        return tuple(sorted((a, n) for a, n in self.attempts.items() if a.is_outside or a.is_dns))

    @property
    def loopback(self) -> int:
        """Connections and datagrams within the machine: a record without any would be none."""
        return sum(count for attempt, count in self.attempts.items() if not (attempt.is_outside or attempt.is_dns))


def best_method() -> str:
    """strace where it is installed."""
    return STRACE if shutil.which("strace") else PACKETS


def watch(command: Sequence[str], environment: Mapping[str, str], method: str | None = None) -> Watched:
    """Run a command with the network taken away and record its attempts, and those of all processes below it.

    Raises EgressUnknown where that can't be done on this machine: no result is not a good one.
    """
    _require_namespaces()
    method = method or best_method()
    with tempfile.TemporaryDirectory(prefix="egress-") as folder:
        record = Path(folder) / "record"
        inside = [sys.executable, "-m", _INSIDE, method, str(record)]
        traced = _strace(record) if method == STRACE else []
        whole = ["unshare", "--map-root-user", "--net", *inside, *traced, *command]
        code = subprocess.run(whole, env=dict(environment), check=False).returncode
        if not record.exists():
            raise EgressUnknown(f"{method} wrote no record (exit code {code}); see what it said above")
        lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    return Watched(code, method, attempts(lines) if method == STRACE else _counted(lines))


def _strace(record: Path) -> list[str]:
    """All processes, network calls alone; `-I2` lets Ctrl-C reach the command.

    The kernel's filter lets all other calls pass without a stop: without it, vLLM takes minutes to start.
    """
    calls = ("-e", "trace=connect,sendto,sendmsg,sendmmsg", "-e", "signal=none")
    return ["strace", "--seccomp-bpf", "-f", "-qq", "-I2", "-s", "256", *calls, "-o", str(record), "--"]


def _counted(lines: Sequence[str]) -> Counter[Attempt]:
    """As `inside` writes them."""
    found: Counter[Attempt] = Counter()
    for line in lines:
        address, port, call, count = line.split()
        found[Attempt(address, int(port), call, "seen")] += int(count)
    return found


def _require_namespaces() -> None:
    if shutil.which("unshare") is None:
        raise EgressUnknown("`unshare` (util-linux) is not installed, so the network can't be taken away")
    tried = subprocess.run(
        ["unshare", "--map-root-user", "--net", "true"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    if tried.returncode != 0:
        raise EgressUnknown(
            f"this machine allows no network namespaces ({tried.stderr.strip()}), so the network can't be taken away; "
            "run it as root, or set kernel.unprivileged_userns_clone=1"
        )
