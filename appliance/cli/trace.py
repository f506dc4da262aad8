"""`appliance trace show|list|replay`: what was done for a request, and what another choice would do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console, JustifyMethod
from rich.table import Table

from appliance.cli import replay_view, trace_view
from appliance.cli.connection import locate
from appliance.cli.moments import moment
from appliance.cli.options import ConfigOption, JsonOption, KeyFileOption, UrlOption
from appliance.domain.request import Effort
from appliance.domain.trace import Outcome
from appliance.errors import InvalidRequest
from appliance.gateway.replay import load_pair
from appliance.gateway.traces import load

commands = typer.Typer(help="What was done for a request.", no_args_is_help=True)

_WIDE = 100
_NARROW = ("trace", "when", "strategy", "seconds")
_COLUMNS: tuple[tuple[str, JustifyMethod, Callable[[dict[str, Any]], str]], ...] = (
    ("trace", "left", lambda line: line["trace_id"]),
    ("when", "left", lambda line: time.strftime("%m-%d %H:%M:%S", time.localtime(line["created_unix_s"]))),
    ("model", "left", lambda line: line["requested_model"]),
    ("strategy", "left", lambda line: line["strategy"]),
    ("outcome", "left", lambda line: line["outcome"]),
    ("calls", "right", lambda line: str(line["calls"])),
    ("tokens", "right", lambda line: str(line["total_tokens"])),
    ("seconds", "right", lambda line: f"{line['duration_s']:.2f}"),
)


@commands.command()
def show(
    trace_id: Annotated[str, typer.Argument(help="As in the header x-trace-id, or from `appliance trace list`.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show one trace as a tree."""
    document = locate(config, url, key_file).read(f"/v1/traces/{_segment(trace_id)}")
    if as_json:
        typer.echo(document)
        return
    Console().print(trace_view.render(load(document)))


@commands.command()
def replay(
    trace_id: Annotated[str, typer.Argument(help="The trace whose request runs again.")],
    model_for: Annotated[
        list[str] | None,
        typer.Option(help="Another model in a role: verifier=X, executor=X, or executor.math=X for one skill."),
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Another strategy.")] = None,
    effort: Annotated[Effort | None, typer.Option(help="Another effort.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Run the request of a trace again, under another choice, and show both side by side."""
    choice = {"model_for": _pairs(model_for) if model_for else None, "strategy": strategy, "effort": effort}
    body = {name: value for name, value in choice.items() if value is not None}
    with locate(config, url, key_file).post(f"/v1/traces/{_segment(trace_id)}/replay", body) as reply:
        document = reply.body.read()
    if as_json:
        typer.echo(document)
        return
    traces = load_pair(document)
    Console().print(replay_view.render(*traces))


@commands.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    since: Annotated[str | None, typer.Option(help="30m, 12h, 7d, or a date as 2026-01-31.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only those that ended so.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Only those answered by this strategy.")] = None,
    cursor: Annotated[str | None, typer.Option(help="From where the list before ended.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """List the newest traces, newest first."""
    wanted = {
        "limit": limit,
        "since": None if since is None else moment(since, "--since"),
        "outcome": outcome,
        "strategy": strategy,
        "cursor": cursor,
    }
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    found = locate(config, url, key_file).get(f"/v1/traces?{query}")
    if as_json:
        typer.echo(json.dumps(found))
        return
    console = Console()
    console.print(_table(found["data"], console.width))
    if found["next_cursor"]:
        Console(stderr=True, style="dim", highlight=False).print(f"more: --cursor {found['next_cursor']}")


def _table(lines: list[dict[str, Any]], width: int) -> Table:
    """Ids stand whole on every terminal, since one that was cut is none; narrow ones have fewer columns instead."""
    table = Table(box=None, pad_edge=False)
    columns = [column for column in _COLUMNS if width >= _WIDE or column[0] in _NARROW]
    for heading, justify, _ in columns:
        ids = heading == "trace"
        table.add_column(heading, header_style="dim", justify=justify, no_wrap=True, min_width=32 if ids else None)
    for line in lines:
        table.add_row(*(shown(line) for _, _, shown in columns))
    return table


def _pairs(model_for: list[str]) -> dict[str, str]:
    """`role=model`, as often as it was given."""
    pairs = {}
    for pair in model_for:
        role, equals, model_id = pair.partition("=")
        if not (role and equals and model_id):
            raise InvalidRequest(f"--model-for {pair}: wants ROLE=MODEL, as in verifier=qwen3-8b")
        pairs[role] = model_id
    return pairs


def _segment(trace_id: str) -> str:
    return "".join(character for character in trace_id if character.isalnum() or character in "-_")
