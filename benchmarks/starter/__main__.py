"""`python -m benchmarks.starter JOB`: starts the appliance, does the job with it, and stops it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from appliance.errors import ApplianceError
from benchmarks import machine
from benchmarks.starter import demo as demonstration
from benchmarks.starter import strategies as by_strategy
from benchmarks.starter import table, verdict_set
from benchmarks.starter.appliance_process import DemoFailed, RunningAppliance, appliance, running_appliance
from benchmarks.starter.evaluation import ONE_PASS, ORCHESTRATED, compare
from benchmarks.starter.suite import Problem, load, spread

TABLE_WIDTH = 140
RESULTS = Path(__file__).parents[1] / "results"
VERDICTS = Path("benchmarks/suites/starter-verdicts.jsonl")
CALIBRATION = "starter-verifier-calibration.json"
DEMO_QUESTIONS = Path(__file__).parents[1] / "suites" / "starter-demo.txt"
Config = Annotated[Path, typer.Option(help="Configuration of the appliance to start.")]
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def demo(
    config: Config = Path("config/starter.yaml"),
    picture: Annotated[Path | None, typer.Option(help="Also draw the repaired question's tree as an SVG.")] = None,
) -> None:
    """A handful of questions of rising difficulty, their trees, and a short comparison."""
    console, problems = Console(), _demo_problems()
    with running_appliance(config) as running:
        shown = asyncio.run(demonstration.show(running, problems, console))
        console.print()
        console.print(demonstration.comparison_table(shown))
        demonstration.check(shown)
    if picture is not None:
        demonstration.draw(shown, picture)
    console.print(
        "\nDone: planned, executed, verified and repaired by real models; everything is stopped again.\n"
        f"To try it yourself: `make up`, then http://{_listen(config)}/v1 with the key that it shows, "
        'or `.venv/bin/appliance ask "…" --trace`.'
    )


@app.command()
def evaluate(
    config: Config = Path("config/starter.yaml"),
    problems: Annotated[int, typer.Option(help="Problems, spread evenly over the numbers of steps.")] = 660,
    concurrency: Annotated[int, typer.Option(help="Problems asked at the same time.")] = 12,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "starter-demo-eval.json",
) -> None:
    """The held-out set in three ways; writes the figures and the machine; exit 1 unless orchestrating was better."""
    console = Console()
    chosen = spread(load(), problems)
    started = time.monotonic()
    with running_appliance(config) as running:
        comparison = asyncio.run(
            compare(running.url, running.api_key, chosen, concurrency=concurrency, quiet=not console.is_terminal)
        )
    result = {
        "command": f"make demo-eval (problems={len(chosen)}, concurrency={concurrency})",
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine.describe(),
        **comparison.as_document(),
    }
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    Console(width=max(TABLE_WIDTH, console.width)).print(table.render(comparison))
    console.print(f"written to {out}")
    ours, theirs = comparison.summary(ORCHESTRATED), comparison.summary(ONE_PASS)
    if ours["share"] <= theirs["share"]:
        raise DemoFailed("orchestrating was not better than the generalist in one pass")


@app.command()
def strategies(
    config: Config = Path("config/starter.yaml"),
    problems: Annotated[int, typer.Option(help="Problems for each strategy, spread over the numbers of steps.")] = 150,
    concurrency: Annotated[int, typer.Option(help="Problems asked at the same time.")] = 12,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "starter-strategies.json",
) -> None:
    """The held-out set once for each strategy, with what an answer costs; writes the figures and the machine."""
    console = Console()
    chosen = spread(load(), problems)
    started = time.monotonic()
    with running_appliance(config) as running:
        answers = asyncio.run(by_strategy.compare(running, chosen, by_strategy.WAYS, concurrency=concurrency))
    document = {
        "command": f"python -m benchmarks.starter strategies --problems {len(chosen)} --concurrency {concurrency}",
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine.describe(),
        **by_strategy.as_document(answers),
    }
    out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    Console(width=max(TABLE_WIDTH, console.width)).print(by_strategy.table(document))
    console.print(f"written to {out}")


@app.command()
def learn(
    config: Config = Path("config/starter.yaml"),
    problems: Annotated[int, typer.Option(min=60, help="Held-out problems of the gate.")] = 300,
    training: Annotated[int, typer.Option(min=60, help="Problems to train on.")] = 636,
    live: Annotated[int, typer.Option(min=60, help="Held-out problems of the comparison at work.")] = 60,
    at_once: Annotated[int, typer.Option(help="Requests at the same time.")] = 12,
    directory: Annotated[Path, typer.Option(help="Suites, runs and heads; a command that was stopped goes on.")] = Path(
        "var/eval/starter"
    ),
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "starter-eval.json",
    html: Annotated[Path, typer.Option(help="Where the report is written.")] = RESULTS / "starter-eval.html",
) -> None:
    """Does it pay? Train a router head on one suite, gate it on another, promote it, compare it at work; exit 1
    where the gate stays shut."""
    from benchmarks.starter import learning_table
    from benchmarks.starter.learning import Learning, Sizes

    started = time.monotonic()
    made = Learning(config, directory, Sizes(training, problems, live), at_once).run(html)
    sizes = f"--problems {problems} --training {training} --live {live} --at-once {at_once}"
    document = {
        "command": f"make eval (python -m benchmarks.starter learn {sizes})",
        "seconds_of_the_last_part": round(time.monotonic() - started, 1),
        "machine": machine.describe(),
        **made,
    }
    out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console = Console()
    Console(width=max(TABLE_WIDTH, console.width)).print(learning_table.render(document))
    console.print(f"written to {out} and {html}")
    if not made["promoted"]:
        raise DemoFailed(f"the gate stayed shut: {'; '.join(made['gate']['reasons'])}")


@app.command()
def inspect(
    config: Config = Path("config/starter.yaml"),
    problems: Annotated[int, typer.Option(min=12, help="Held-out problems.")] = 60,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / "starter-inspect.json",
) -> None:
    """Inspect (inspect-ai) against the gateway, beside `appliance eval run` on the same problems."""
    from benchmarks.starter.inspect_peer import compared

    with running_appliance(config) as running:
        found = compared(running, config, problems, Path("var/eval/inspect"))
    command = f"python -m benchmarks.starter inspect --problems {problems}"
    document = {"command": command, "machine": machine.describe(), **found}
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    Console().print(found)
    Console().print(f"written to {out}")


@app.command()
def calibrate(
    config: Config = Path("config/starter.yaml"),
    anew: Annotated[bool, typer.Option("--anew", help="Make the labelled set anew before.")] = False,
    labelled: Annotated[Path, typer.Option(help="The labelled set.")] = VERDICTS,
    target: Annotated[float, typer.Option(help="Most wrong results that may pass.")] = 0.02,
    out: Annotated[Path, typer.Option(help="Where the result is written.")] = RESULTS / CALIBRATION,
) -> None:
    """The starter verifier on labelled results: false accepts and rejects, and the thresholds that were found."""
    started = time.monotonic()
    with running_appliance(config) as running:
        if anew:
            lines = _labelled_anew(running)
            labelled.write_text("".join(json.dumps(line) + "\n" for line in verdict_set.documents(lines)))
            Console().print(verdict_set.counts(lines))
        command = ["eval", "calibrate", "--config", str(config), "--set", str(labelled)]
        command += ["--target-false-accept", str(target)]
        shown = appliance(*command, "--json")
    result = {
        "command": f"appliance {' '.join(command)}",
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine.describe(),
        "calibrations": json.loads(shown),
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {out}")


def _labelled_anew(running: RunningAppliance) -> list[verdict_set.Line]:
    with Progress(transient=True) as progress:
        total = len(verdict_set.EXECUTORS) * len(verdict_set.TEMPERATURES) * verdict_set.OPERATIONS
        bar = progress.add_task("results", total=total)
        lines = verdict_set.sampled(running.url, running.api_key, lambda: progress.advance(bar))
        return verdict_set.labelled_set(asyncio.run(lines))


def _demo_problems() -> list[Problem]:
    """The problems whose ids stand in the demo's list, one a line."""
    by_id = {problem.id: problem for problem in load()}
    lines = (line.split("#", 1)[0].strip() for line in DEMO_QUESTIONS.read_text(encoding="utf-8").splitlines())
    return [by_id[line] for line in lines if line]


def _listen(config: Path) -> str:
    from appliance.config import load as load_settings

    server = load_settings(config).server
    return f"{server.host}:{server.port}"


def main() -> None:
    """Run the command; one line for what went wrong."""
    try:
        app(standalone_mode=True)
    except (DemoFailed, ApplianceError) as error:
        Console(stderr=True).print(f"[red]not done:[/] {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
