"""`appliance doctor`: is this machine fit, does anything call out, and what may be told of one in trouble?"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from appliance.airgap.egress import Watched, watch
from appliance.cli.door import RUNTIME_FAILURE
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.config import Settings
from appliance.doctor import support_bundle as support
from appliance.doctor.finding import Finding, Level, worst
from appliance.doctor.preflight import examine

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_OWN_VARIABLES = frozenset({"APPLIANCE_API_KEY", "APPLIANCE_CONFIG", "APPLIANCE_DATA_DIR", "APPLIANCE_URL"})


@dataclass(frozen=True, slots=True)
class EgressReport:
    """What a whole run tried to reach. `answer` says how the request was answered; None where it was not."""

    watched: Watched
    answer: dict[str, Any] | None
    seconds: float

    @property
    def good(self) -> bool:
        """The job was done, within the machine."""
        return self.watched.code == 0 and self.answer is not None and not self.watched.outside

    def document(self) -> dict[str, Any]:
        """For scripts and auditors."""
        return {
            "attempts_outside": sum(count for _, count in self.watched.outside),
            "outside": [
                {**asdict(attempt), "count": count, "dns": attempt.is_dns} for attempt, count in self.watched.outside
            ],
            "within_loopback": self.watched.loopback,
            "method": self.watched.method,
            "answer": self.answer,
            "exit_code": self.watched.code,
            "seconds": round(self.seconds, 1),
        }


def doctor(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    egress: Annotated[
        bool, typer.Option("--egress", help="Also run the appliance without a network and record whom it calls.")
    ] = False,
    support_bundle: Annotated[
        Path | None, typer.Option("--support-bundle", help="Also write findings, versions, plan and redacted logs.")
    ] = None,
) -> None:
    """Check this machine for a configuration. Exit code 0: nothing failed; 1: something did."""
    settings = settings_of(config)
    findings = tuple(examine(settings, os.environ, time.time()))
    report = _egress(settings) if egress else None
    if support_bundle is not None:
        support.write(support_bundle, settings, findings, os.environ)
    if as_json:
        document: dict[str, Any] = {"level": worst(findings), "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document | ({"egress": report.document()} if report else {}), indent=2))
    else:
        _show(Console(), findings, report)
        if support_bundle is not None:
            typer.echo(f"{support_bundle}: written; read it before you hand it on")
    if worst(findings) is Level.FAIL or (report is not None and not report.good):
        raise typer.Exit(RUNTIME_FAILURE)


def _egress(settings: Settings) -> EgressReport:
    """Start, ask and stop in a namespace without a way out. Raises EgressUnknown."""
    started = time.monotonic()
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("the whole job without a network: start, plan, execute, verify, stop"))
    with (
        tempfile.TemporaryDirectory(prefix="rehearsal-") as folder,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        bar.add_task("")
        result = Path(folder) / "result.json"
        environment = {key: value for key, value in os.environ.items() if key not in _OWN_VARIABLES}
        environment["APPLIANCE_DATA_DIR"] = str(Path(folder) / "data")
        command = [sys.executable, "-m", "appliance.cli.rehearsal", settings.source, str(result)]
        watched = watch(command, environment)
        answer = json.loads(result.read_text(encoding="utf-8")) if result.exists() else None
    return EgressReport(watched, answer, time.monotonic() - started)


def _show(console: Console, findings: tuple[Finding, ...], report: EgressReport | None) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "", "what was found"):
        table.add_column(heading, header_style="dim", no_wrap=heading != "what was found", overflow="fold")
    for finding in findings:
        says = Text(finding.says)
        if finding.way_out:
            says.append(f"\n→ {finding.way_out}", style="dim")
        table.add_row(finding.check, Text(finding.level, style=_COLOURS[finding.level]), says)
    console.print(table)
    for line in _egress_lines(report) if report else ():
        console.print(line, soft_wrap=True)


def _egress_lines(report: EgressReport) -> Iterator[Text]:
    watched = report.watched
    attempts = sum(count for _, count in watched.outside)
    yield Text()
    yield Text.assemble(
        ("egress: ", "bold"),
        (f"{attempts} attempts outside loopback", "red" if attempts else "green"),
        f", {watched.loopback} within it, in {report.seconds:.0f} s (recorded by {watched.method})",
    )
    for attempt, count in watched.outside:
        kind = "DNS" if attempt.is_dns else attempt.call
        yield Text(f"  {count} × {kind} {attempt.address} port {attempt.port}: {attempt.result}")
    if report.answer is None:
        yield Text(f"the request was not answered (exit code {watched.code}); see what stands above", style="red")
    else:
        yield Text(f"one request without a network: {report.answer['strategy']}, {report.answer['calls']} calls")
