"""`make bundle-demo`: a bundle of the starter pool is made, verified, installed where there is no network, and serves.

Both sides are on this machine: the other one has an empty store, and a network namespace with loopback alone, in which
whatever tries to reach anybody is recorded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.airgap.egress import Watched, watch
from appliance.config import load
from appliance.errors import ApplianceError
from benchmarks.starter.appliance_process import DemoFailed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    config: Annotated[Path, typer.Option(help="What the bundle is made for.")] = Path("config/starter.yaml"),
) -> None:
    """Connected side, then the other side."""
    console, started = Console(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bundle-demo-") as folder:
        here, there = Path(folder) / "connected", Path(folder) / "isolated"
        here.mkdir()
        there.mkdir()
        key, bundle, root = here / "key", here / "bundle", there / "root"
        console.rule("the connected side", align="left")
        _run(console, "bundle", "keygen", str(key))
        _run(console, "bundle", "create", "--config", str(config), "--out", str(bundle), "--key", str(key))
        console.rule("the other side: an empty store, no network", align="left")
        public = ("--public-key", f"{key}.pub")
        _isolated(console, "bundle", "verify", str(bundle), *public)
        _isolated(console, "bundle", "install", str(bundle), *public, "--root", str(root))
        _isolated(console, "bundle", "list", "--root", str(root))
        _serve(console, root, there)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s; everything is stopped and removed again.")


def _serve(console: Console, root: Path, there: Path) -> None:
    """The installed version answers one orchestrated request. Raises DemoFailed."""
    config, result = root / "current" / "config" / "appliance.yaml", there / "result.json"
    store = load(config).models.store.resolve()
    if not store.is_relative_to(root.resolve()):
        raise DemoFailed(f"{config} takes its models from {store}, which is not what was installed")
    console.print(f"$ appliance up --config {config}   # and one request", style="dim", soft_wrap=True)
    seen = _watched([sys.executable, "-m", "appliance.cli.rehearsal", str(config), str(result)], there)
    if seen.code != 0 or not result.exists():
        raise DemoFailed("the installed appliance did not answer; its message stands above")
    answer = json.loads(result.read_text(encoding="utf-8"))
    console.print(
        f"answered by {answer['strategy']} with {answer['calls']} calls, {answer['tokens']} tokens, in "
        f"{answer['seconds']} s, with models from {store}",
        soft_wrap=True,
    )
    console.print(f"attempts outside loopback: {len(seen.outside)}, within it: {seen.loopback} (by {seen.method})")
    if seen.outside or answer["strategy"] == "direct":
        raise DemoFailed(f"not the whole job, or not without a network: {answer['strategy']}, {seen.outside}")


def _run(console: Console, *arguments: str) -> None:
    console.print(f"$ appliance {' '.join(arguments)}", style="dim", soft_wrap=True)
    code = subprocess.run([sys.executable, "-m", "appliance", *arguments], check=False).returncode
    if code:
        raise DemoFailed(f"it ended with {code}; its message stands above")


def _isolated(console: Console, *arguments: str) -> None:
    console.print(f"$ appliance {' '.join(arguments)}", style="dim", soft_wrap=True)
    seen = _watched([sys.executable, "-m", "appliance", *arguments], None)
    if seen.code or seen.outside:
        raise DemoFailed(f"it ended with {seen.code}, and tried to reach {seen.outside or 'nobody'}")


def _watched(command: list[str], data: Path | None) -> Watched:
    environment = dict(os.environ)
    if data is not None:
        environment["APPLIANCE_DATA_DIR"] = str(data / "data")
    return watch(command, environment)


def main() -> None:
    """Run the command; one line for what went wrong."""
    try:
        app(standalone_mode=True)
    except (DemoFailed, ApplianceError) as error:
        Console(stderr=True).print(f"[red]not done:[/] {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
