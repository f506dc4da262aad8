"""`appliance ask`: one question to the running appliance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from appliance.cli import forecast_view, trace_view
from appliance.cli.budget_option import BudgetOption, parsed
from appliance.cli.connection import Connection, Reply, locate
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption
from appliance.domain.request import Effort
from appliance.errors import EngineUnavailable
from appliance.gateway.traces import load

_PATH = "/v1/chat/completions"
_PLAN_PATH = "/v1/plan"


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Annotated[str, typer.Option(help="A model of the pool, or `auto` for the coordinator.")] = "auto",
    effort: Annotated[Effort | None, typer.Option(help="How much `auto` may spend on the answer.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How `auto` is to answer, where callers may choose.")] = None,
    budget: BudgetOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Run nothing; say what the answer would take.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The preview as JSON.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Show progress (dim) and the answer as they come.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Show the tree of what was done afterwards.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Ask the running appliance; the answer goes to stdout (and the tree below it), progress to stderr."""
    limits = None if budget is None else parsed(budget)
    connection = locate(config, url, key_file)
    body = {"model": model, "messages": [{"role": "user", "content": question}], "stream": stream}
    wishes = {"effort": effort and effort.value, "strategy": strategy, "budget": limits}
    body |= {name: wish for name, wish in wishes.items() if wish is not None}
    if preview:
        _print_forecast(connection, body, as_json=as_json)
        return
    with connection.post(_PATH, body) as reply:
        trace_id = reply.headers.get("x-trace-id", "")
        if stream:
            _print_stream(reply)
        else:
            document = json.load(reply.body)
            typer.echo(document["choices"][0]["message"]["content"] or "")
            for left in document.get("appliance", {}).get("reduced", ()):
                typer.echo(f"smaller plan: {left['step']} ({left['reason']})", err=True)
    if trace and trace_id:
        _print_trace(connection, trace_id)


def _print_forecast(connection: Connection, body: Mapping[str, Any], *, as_json: bool) -> None:
    with connection.post(_PLAN_PATH, body) as reply:
        forecast = json.load(reply.body)
    if as_json:
        typer.echo(json.dumps(forecast, indent=2))
    else:
        Console().print(forecast_view.render(forecast))


def _print_stream(reply: Reply) -> None:
    progress = Console(stderr=True, style="dim", markup=False, highlight=False, soft_wrap=True)
    in_progress = False
    for delta in _deltas(reply):
        if working := delta.get("reasoning_content"):
            progress.print(working, end="")
            in_progress = not working.endswith("\n")
        if content := delta.get("content"):
            if in_progress:
                progress.print()
                in_progress = False
            typer.echo(content, nl=False)
    typer.echo()


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    for line in reply.body:
        data = line.removeprefix(b"data: ").strip()
        if not line.startswith(b"data: ") or data == b"[DONE]":
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            raise EngineUnavailable(str(chunk["error"]["message"]))
        for choice in chunk["choices"]:
            yield choice["delta"]


def _print_trace(connection: Connection, trace_id: str) -> None:
    tree = trace_view.render(load(connection.read(f"/v1/traces/{trace_id}")))
    Console().print(tree)
