"""`appliance trace show|list`: what was done for a request."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli import trace_view
from appliance.cli.connection import locate
from appliance.cli.options import ConfigOption, KeyFileOption, UrlOption
from appliance.gateway.traces import load

commands = typer.Typer(help="What was done for a request.", no_args_is_help=True)


@commands.command()
def show(
    trace_id: Annotated[str, typer.Argument(help="As in the header x-trace-id, or from `appliance trace list`.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show one trace as a tree."""
    document = locate(config, url, key_file).read(f"/v1/traces/{_segment(trace_id)}")
    Console().print(trace_view.render(load(document)))


@commands.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """List the newest traces, newest first."""
    found = locate(config, url, key_file).get(f"/v1/traces?limit={limit}")["data"]
    table = Table(box=None, pad_edge=False)
    for heading in ("trace", "when", "model", "strategy", "outcome", "calls", "tokens", "seconds"):
        table.add_column(heading, header_style="dim")
    for line in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["created_unix_s"]))
        shown = (line["requested_model"], line["strategy"], line["outcome"])
        counts = (str(line["calls"]), str(line["total_tokens"]), f"{line['duration_s']:.2f}")
        table.add_row(line["trace_id"], when, *shown, *counts)
    Console().print(table)


def _segment(trace_id: str) -> str:
    return "".join(character for character in trace_id if character.isalnum() or character in "-_")
