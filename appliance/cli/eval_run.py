"""`appliance eval run`, `report`, `import` and `leakage`: suites of the operator's own tasks."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance import errors
from appliance.cli.connection import Connection, locate
from appliance.cli.door import RUNTIME_FAILURE, complain
from appliance.cli.options import ConfigOption, JsonOption, KeyFileOption, UrlOption
from appliance.domain.trace import Trace
from appliance.evaluation.attempt import cost_of
from appliance.evaluation.importing import Shape, import_suite
from appliance.evaluation.leakage import leaks
from appliance.evaluation.run_file import Header, Run, RunFile, read_run, rewrite
from appliance.evaluation.runner import Answered, Runner
from appliance.evaluation.suite import Suite, load_suite, spread
from appliance.evaluation.target import Target, targets_of

if TYPE_CHECKING:
    from appliance.evaluation.comparison import Comparison

_TRACE = TypeAdapter(Trace)
_TRACE_TRIES, _TRACE_PAUSE_S = 40, 0.05
"""A trace is there a moment after the answer's last byte."""

SuiteArgument = Annotated[Path, typer.Argument(help="The suite's YAML file.", show_default=False)]
PriceOption = Annotated[float | None, typer.Option("--gpu-hour-price", min=0, help="Adds money per task.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Also write the report as one HTML page.")]


def run(
    suite: SuiteArgument,
    targets: Annotated[
        str, typer.Option(help="auto, auto:STRATEGY, auto@EFFORT, MODEL, self-consistency:MODEL@N; with commas.")
    ],
    out: Annotated[Path | None, typer.Option(help="Run file. One that is there already goes on.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Only so many tasks, in turn from each class.")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1_000, help="Runs of each task.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Requests at the same time.")] = 8,
    html: HtmlOption = None,
    gpu_hour_price: PriceOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Put a suite to one or several ways to answer, through the running appliance, and compare them."""
    loaded = load_suite(suite)
    if tasks is not None:
        loaded = replace(loaded, tasks=spread(loaded.tasks, tasks))
    connection = locate(config, url, key_file)
    virtual_model, models = _served(connection)
    chosen = targets_of(targets, virtual_model=virtual_model, models=models)
    out = out or Path("var/eval") / f"{loaded.name}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    runner = Runner(loaded, chosen, lambda model, body: _asked(connection, model, body), seed=seed, repeats=repeats)
    about = {"virtual_model": virtual_model, "models": list(models), "appliance": version("appliance")}
    header = _header(loaded, chosen, tasks, repeats, seed, {**about, "begun": time.strftime("%Y-%m-%d %H:%M")})
    done = _run(runner, RunFile(out, header), at_once)
    typer.echo(f"{len(done.attempts)} attempts in {out}", err=True)
    _show(done, chosen, virtual_model, out, html, gpu_hour_price, as_json=as_json)


def report(
    run_file: Annotated[Path, typer.Argument(help="What `appliance eval run` wrote.", show_default=False)],
    html: HtmlOption = None,
    gpu_hour_price: PriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the targets of a run again; no appliance is needed."""
    found = read_run(run_file)
    if not found.attempts:
        raise errors.ConfigError(f"{run_file}: holds no attempts yet; let `appliance eval run --out` go on with it")
    virtual_model, models = found.header.about["virtual_model"], found.header.about["models"]
    targets = targets_of(",".join(found.header.targets), virtual_model=virtual_model, models=models)
    _show(found, targets, virtual_model, run_file, html, gpu_hour_price, as_json=as_json)


def import_(
    shape: Annotated[Shape, typer.Argument(help="How the file is made.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="The file.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the suite.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where the suite is written.")] = Path(),
    judge: Annotated[str | None, typer.Option(help="Model that grades, for shapes without a right answer.")] = None,
) -> None:
    """Make a suite of a file of questions that is made like a well-known one, or of kept traces."""
    typer.echo(f"written to {import_suite(shape, source, directory, name, judge)}")


def leakage(
    suite: SuiteArgument,
    against: Annotated[list[Path], typer.Option(help="Suites that were trained or tuned on.")],
) -> None:
    """Find tasks that stand in another suite too, or nearly; exit code 1 where there are any."""
    loaded = load_suite(suite)
    others = [task for path in against for task in load_suite(path).tasks]
    found = leaks(loaded.tasks, others)
    for leak in found:
        typer.echo(f"{leak.task_id}: {'the same as' if leak.likeness == 1 else 'nearly'} {leak.other_id}")
    typer.echo(f"{len(found)} of {len(loaded.tasks)} tasks stand in the others too", err=True)
    if found:
        raise typer.Exit(RUNTIME_FAILURE)


def _served(connection: Connection) -> tuple[str, tuple[str, ...]]:
    """The virtual model and the pool's models, as the appliance lists them."""
    listed = connection.get("/v1/models")["data"]
    virtual = [entry["id"] for entry in listed if entry.get("virtual")]
    if not virtual:
        raise errors.EngineUnavailable(f"{connection.url} lists no virtual model; is it an appliance?")
    return virtual[0], tuple(entry["id"] for entry in listed if not entry.get("virtual"))


def _asked(connection: Connection, model: str, body: Any) -> Answered:
    """One answer and, from its trace, what it took."""
    started = time.monotonic()
    with connection.post("/v1/chat/completions", {**body, "model": model}) as reply:
        trace_id = reply.headers.get("x-trace-id", "")
        document = json.load(reply.body)
    seconds = time.monotonic() - started
    try:
        (choice,) = document["choices"]
        text, finish_reason = choice["message"]["content"] or "", choice["finish_reason"] or ""
    except (KeyError, TypeError, ValueError):
        raise errors.EngineUnavailable(f"{model} answered in a shape that is no chat completion") from None
    trace = _trace(connection, trace_id)
    return Answered(text, seconds, cost_of(trace), trace_id, trace.decision.strategy, finish_reason)


def _trace(connection: Connection, trace_id: str) -> Trace:
    for tries_left in reversed(range(_TRACE_TRIES)):
        try:
            return _TRACE.validate_json(connection.read(f"/v1/traces/{trace_id}"))
        except errors.NotFound:
            if not tries_left:
                raise
            time.sleep(_TRACE_PAUSE_S)
    raise AssertionError("the last try ends the loop")


def _header(
    suite: Suite, targets: tuple[Target, ...], tasks: int | None, repeats: int, seed: int, about: dict[str, Any]
) -> Header:
    names = tuple(target.name for target in targets)
    digest = suite.digest if tasks is None else f"{suite.digest}/{tasks}"
    return Header(suite.name, digest, names, repeats, seed, about)


def _run(runner: Runner, file: RunFile, at_once: int) -> Run:
    """All attempts; those that the file has already are not made again."""
    done = list(file.before)
    bar = Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=Console(stderr=True),
    )
    with file, bar:
        shown = bar.add_task("answers", total=runner.total, completed=len(done))
        for attempt in runner.attempts(done, at_once=at_once):
            file.append(attempt)
            done.append(attempt)
            bar.advance(shown)
    run = Run(file.header, tuple(done))
    open_ones = [attempt for attempt in done if attempt.score is None]
    if open_ones:
        judged = {attempt.place: attempt for attempt in runner.judged(done, at_once=at_once)}
        run = Run(file.header, tuple(judged.get(attempt.place, attempt) for attempt in done))
        rewrite(file.path, run)
    return run


def _show(
    run: Run,
    targets: tuple[Target, ...],
    virtual_model: str,
    out: Path,
    html: Path | None,
    gpu_hour_price: float | None,
    *,
    as_json: bool,
) -> None:
    # NumPy takes longer to import than most verbs take to run.
    from appliance.cli.eval_view import as_document, tables
    from appliance.evaluation.comparison import compare
    from appliance.evaluation.report.page import page

    comparison: Comparison = compare(run.attempts, targets, virtual_model=virtual_model)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(run, comparison, gpu_hour_price=gpu_hour_price), encoding="utf-8")
        typer.echo(f"report in {html}", err=True)
    if as_json:
        typer.echo(json.dumps(as_document(run, comparison, gpu_hour_price), indent=2))
    else:
        Console().print(tables(comparison, gpu_hour_price))
    failed = [attempt for attempt in run.attempts if attempt.error]
    if failed:
        complain(f"{len(failed)} attempts had no answer and count as wrong; the first: {failed[0].error}; see {out}")
