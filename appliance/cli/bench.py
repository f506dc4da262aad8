"""`appliance bench`: put a load on a server, and compare what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from appliance import errors
from appliance.bench import self_check as own
from appliance.bench.comparison import Gate, Judged, gate_of, judged, ratios
from appliance.bench.connection import Target
from appliance.bench.driver import Progress as Counts
from appliance.bench.objective import Figure, figure_of
from appliance.bench.records import RequestRecord
from appliance.bench.report.page import page
from appliance.bench.result import EVERYTHING, Result, read_result, write_result
from appliance.bench.run import Served, run_scenario
from appliance.bench.scenario import Scenario, load_scenario
from appliance.bench.schedule import phases_of
from appliance.cli import bench_view
from appliance.cli.connection import Connection, locate
from appliance.cli.door import RUNTIME_FAILURE, complain
from appliance.cli.options import ConfigOption, JsonOption, KeyFileOption, UrlOption

commands = typer.Typer(help="Put a load on a server, and compare what came of it.", no_args_is_help=True)

PLACE = Path("var/bench")
ProcessesOption = Annotated[
    int, typer.Option(min=1, max=64, help="Processes that send; more of them take in more streams at the same time.")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Also write a report as one HTML page.")]


@commands.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario's YAML file.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help=f"Directory of the result. Default: one below {PLACE}.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's own.")] = None,
    processes: ProcessesOption = 1,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do without the generator's own check; the result says so.")
    ] = False,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Send a scenario's load to the running appliance, or to any server with OpenAI's API, and measure."""
    loaded = load_scenario(scenario)
    connection = locate(config, url, key_file)
    served = _served(connection)
    check = None if unchecked else _checked(processes)
    with _shown(loaded) as watch:
        result = run_scenario(
            loaded,
            Target(connection.url, connection.api_key, connection.certificate),
            served,
            seed=seed,
            processes=processes,
            check=check,
            watch=watch,
            read_trace=connection.read,
        )
    out = out or PLACE / f"{loaded.settings.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    typer.echo(f"{len(result.records)} requests in {write_result(out, result)}", err=True)
    _show(result, html, as_json=as_json)
    if result.header.stopped:
        complain(f"stopped before its end: {result.header.stopped}")
        raise typer.Exit(RUNTIME_FAILURE)


@commands.command()
def report(
    result: Annotated[Path, typer.Argument(help="Directory that `appliance bench run` wrote.", show_default=False)],
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a result again; no appliance is needed."""
    _show(read_result(result), html, as_json=as_json)


@commands.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The result that is compared with.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="The one that is compared.", show_default=False)],
    gate: Annotated[
        list[str] | None, typer.Option(help='What a ratio has to be: "e2e_p95_s<=1.05". May stand several times.')
    ] = None,
    kind: Annotated[str, typer.Option(help="Only requests of this kind of the mix.")] = EVERYTHING,
    phase: Annotated[str, typer.Option(help="Only this phase; default: all that count.")] = EVERYTHING,
    different: Annotated[bool, typer.Option("--different", help="Even if the scenarios are not the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Second ÷ first for each figure, with its interval. Exit code 1 where a gate does not hold."""
    gates = [_gate(text) for text in gate or ()]
    one, other = read_result(first), read_result(second)
    if one.header.digest != other.header.digest and not different:
        raise errors.ConfigError(
            f"{first} is of scenario {one.header.scenario} ({one.header.digest[:12]}), {second} of "
            f"{other.header.scenario} ({other.header.digest[:12]}); what differs can't be told apart from what was "
            "sent: run the same scenario, or compare nevertheless with --different"
        )
    sides = [_chosen(side, path, kind, phase) for side, path in ((one, first), (other, second))]
    found = ratios(*sides, objectives=one.objectives_of(kind), further=_figures(gates), seed=one.header.seed)
    verdicts = judged(gates, found)
    if as_json:
        typer.echo(json.dumps(bench_view.comparison_document(one, other, found, verdicts), indent=2))
    else:
        Console().print(bench_view.comparison(found, verdicts))
    _fail(verdicts)


@commands.command("self-check")
def self_check(processes: ProcessesOption = 1, as_json: JsonOption = False) -> None:
    """What the load generator itself can do on this machine, and what it adds to latencies."""
    found = own.check(processes)
    if as_json:
        typer.echo(json.dumps(found.as_document(), indent=2))
    else:
        Console().print(bench_view.self_check(found))
    if found.problem:
        raise errors.NotMeasured(found.problem)


def check_file(processes: int) -> Path:
    """Where the check of so many processes is kept."""
    return PLACE / f"self-check-{processes}.json"


def _served(connection: Connection) -> Served:
    """What can be asked there."""
    listed = connection.get("/v1/models")
    try:
        names = {entry["id"]: bool(entry.get("virtual")) for entry in listed["data"]}
    except (KeyError, TypeError, AttributeError):
        raise errors.EngineUnavailable(f"{connection.url} lists no models; is it a server with OpenAI's API?") from None
    return Served(frozenset(names), frozenset(name for name, virtual in names.items() if virtual))


def _checked(processes: int) -> own.SelfCheck:
    with Console(stderr=True).status("checking the load generator itself (once a day)"):
        found = own.kept(check_file(processes), processes)
    if found.problem:
        raise errors.NotMeasured(found.problem)
    return found


@contextmanager
def _shown(scenario: Scenario) -> Iterator[Callable[[Counts], None]]:
    """Live progress; what is yielded hears of the counts."""
    phases = phases_of(scenario)
    whole_s = max(phase.ends_s for phase in phases)
    bar = Progress(
        *(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[counts]}")),
        console=Console(stderr=True),
    )
    with bar:
        shown = bar.add_task(phases[0].name, total=whole_s, counts="")
        began_s: float | None = None

        def watch(counts: Counts) -> None:
            nonlocal began_s
            began_s = time.monotonic() if began_s is None else began_s
            passed_s = time.monotonic() - began_s
            current = next((phase.name for phase in phases if passed_s < phase.ends_s), "waiting for the last answers")
            bar.update(shown, description=current, completed=min(passed_s, whole_s), counts=bench_view.counts(counts))

        yield watch


def _show(result: Result, html: Path | None, *, as_json: bool) -> None:
    if html is not None:
        try:
            html.write_text(page(result), encoding="utf-8")
        except OSError as error:
            raise errors.ConfigError(f"--html {html}: can't be written: {error}") from None
        typer.echo(f"report in {html}", err=True)
    if as_json:
        typer.echo(json.dumps(result.as_document(), indent=2))
    else:
        Console().print(bench_view.tables(result))


def _chosen(result: Result, path: Path, kind: str, phase: str) -> list[RequestRecord]:
    records = result.counting if phase == EVERYTHING else [r for r in result.ended if r.phase == phase]
    found = [record for record in records if kind in (EVERYTHING, record.kind)]
    if not any(record.ok for record in found):
        header = result.header
        raise errors.ConfigError(
            f"{path}: no answered request is of kind {kind or '(any)'} and phase {phase or '(any that counts)'}; "
            f"kinds: {', '.join(header.kinds)}; phases: {', '.join(span.name for span in header.phases)}"
        )
    return found


def _gate(text: str) -> Gate:
    try:
        return gate_of(text)
    except ValueError as error:
        raise errors.ConfigError(f"--gate: {error}") from None


def _figures(gates: list[Gate]) -> list[Figure]:
    return [figure_of(gate.name) for gate in gates if gate.name.endswith("_s") and not gate.name.endswith("_per_s")]


def _fail(verdicts: tuple[Judged, ...]) -> None:
    for verdict in verdicts:
        if not verdict.passed:
            seen = "no such figure in both" if verdict.ratio is None else f"the ratio is {verdict.ratio.value:.3f}"
            sure = "" if verdict.certain else "; its interval reaches over the bound, so more requests would tell more"
            complain(f"gate {verdict.gate.text} does not hold: {seen}{sure}")
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(RUNTIME_FAILURE)
