"""How fast bundles are made, verified and installed, beside `tar` and `sha256sum` on the same files in the same run.

    python -m benchmarks.bundle [--size-mib 512] [--rounds 5] [--out FILE]

Each round runs every way once, one after the other, so that a busy moment of the machine meets all of them. A bundle
costs at the least is the larger of two: the files through `tar` onto the disk (synchronised), and the files through as
many hashing processes as there are processors; the work of the bundle is both at once. `share_of_limit` is that limit's
time divided by ours, by medians. On a machine that others keep busy the clock says little; there the processor seconds
of hashing alone, divided by ours, tell what the rest of the work adds.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.progress import track
from rich.table import Table

from appliance.airgap.install import install
from appliance.airgap.pack import Heading, pack
from appliance.airgap.source import from_file
from appliance.airgap.verify import verify
from appliance.airgap.versions import VersionTree
from benchmarks import machine

RESULT = Path(__file__).parent / "results" / "bundle.json"
FILES = 8
LIMITS = {
    "create": ("tar to disk", "hash, all processors"),
    "verify": ("hash, all processors",),
    "install": ("untar to disk", "hash, all processors"),
}
Way = Callable[[], object]


def ways(folder: Path, size_bytes: int) -> Mapping[str, Way]:
    """Everything that is timed, in the order of a round."""
    files = folder / "files"
    files.mkdir()
    for number in range(FILES):
        with (files / f"shard-{number}.safetensors").open("wb") as file:
            for _ in range(size_bytes // FILES >> 20):
                file.write(os.urandom(1 << 20))
    key = Ed25519PrivateKey.generate()
    trusted = [key.public_key()]
    sources = [from_file(f"docs/{path.name}", path) for path in sorted(files.iterdir())]
    names = [path.name for path in sorted(files.iterdir())]
    pack(sources, Heading("bench", "0.0.0"), key, folder / "bundle")
    processors = len(os.sched_getaffinity(0))
    hashing = f"printf '%s\\0' {' '.join(names)} | xargs -0 -n 1 -P {processors}"
    return {
        "create": lambda: pack(sources, Heading("bench", "0.0.0"), key, folder / "new"),
        "tar to disk": lambda: _shell(f"tar -cf {folder}/new.tar {' '.join(names)} && sync {folder}/new.tar", files),
        "hash, all processors": lambda: _shell(f"{hashing} openssl dgst -sha256", files),
        "sha256sum, all processors": lambda: _shell(f"{hashing} sha256sum", files),
        "sha256sum, one after the other": lambda: _shell(f"sha256sum {' '.join(names)}", files),
        "verify": lambda: verify(folder / "bundle", trusted),
        "install": lambda: install(folder / "bundle", trusted, VersionTree(folder / "root"), 0.0),
        "untar to disk": lambda: _shell(
            f"mkdir out && tar -xf {folder}/bundle/payload.tar -C out && sync $(find out -type f)", folder
        ),
    }


def timed(folder: Path, way: Way) -> tuple[float, float]:
    """Seconds by the clock and of processors; what it left behind is removed afterwards, the disk is quiet before."""
    os.sync()
    started, worked = time.perf_counter(), _processor_s()
    way()
    seconds = time.perf_counter() - started, _processor_s() - worked
    for name in ("new", "root", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "new.tar").unlink(missing_ok=True)
    return seconds


def _processor_s() -> float:
    """Of this process and of those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _shell(command: str, directory: Path) -> None:
    subprocess.run(["bash", "-ec", command], cwd=directory, check=True, stdout=subprocess.DEVNULL)


def main(
    size_mib: Annotated[int, typer.Option(help="Bytes in all, in MiB.")] = 512,
    rounds: Annotated[int, typer.Option(help="How often everything is timed.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULT,
) -> None:
    """Time everything, print the table, write the result."""
    size_bytes = size_mib << 20
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=Path.cwd()) as name:
        folder = Path(name)
        chosen = ways(folder, size_bytes)
        seconds: dict[str, list[float]] = {way: [] for way in chosen}
        worked: dict[str, list[float]] = {way: [] for way in chosen}
        for _ in track(range(rounds), transient=True):
            for way, work in chosen.items():
                by_clock, of_processors = timed(folder, work)
                seconds[way].append(by_clock)
                worked[way].append(of_processors)
    median = {way: statistics.median(times) for way, times in seconds.items()}
    effort = {way: statistics.median(times) for way, times in worked.items()}
    shares = {way: max(median[limit] for limit in limits) / median[way] for way, limits in LIMITS.items()}
    result = {
        "command": f"python -m benchmarks.bundle --size-mib {size_mib} --rounds {rounds}",
        "machine": machine.describe(),
        "load_average": os.getloadavg(),
        "size_bytes": size_bytes,
        "files": FILES,
        "megabytes_per_s": {way: round(size_bytes / median[way] / 1e6, 1) for way in chosen},
        "share_of_limit": {way: round(share, 3) for way, share in shares.items()},
        "share_of_hashing_by_processor_seconds": {
            way: round(effort["hash, all processors"] / effort[way], 3) for way in LIMITS
        },
        "limits": LIMITS,
        "processor_seconds": {way: round(one, 4) for way, one in effort.items()},
        "seconds": {way: [round(one, 4) for one in times] for way, times in seconds.items()},
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(result)
    Console().print(f"written to {out}")


def _show(result: Mapping[str, object]) -> None:
    table = Table(box=None, title="bundle", title_justify="left")
    for heading in ("", "MB/s", "share of the limit"):
        table.add_column(heading, justify="left" if not heading else "right")
    rates, shares = result["megabytes_per_s"], result["share_of_limit"]
    assert isinstance(rates, dict)
    assert isinstance(shares, dict)
    for way, rate in rates.items():
        table.add_row(way, f"{rate:,.0f}", f"{shares[way]:.2f}" if way in shares else "")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
