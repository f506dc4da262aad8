"""`appliance usage`: tokens, GPU-seconds, energy and money, by whatever they are to be summed by."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli.connection import locate
from appliance.cli.moments import moment
from appliance.cli.options import ConfigOption, JsonOption, KeyFileOption, UrlOption, settings_of
from appliance.errors import InvalidRequest, NotRunning

Lines = list[dict[str, Any]]

_SUMS = (
    ("requests", "requests"),
    ("calls", "calls"),
    ("prompt_tokens", "tokens in"),
    ("cached_tokens", "cached"),
    ("completion_tokens", "tokens out"),
    ("gpu_s", "GPU-s"),
    ("energy_j", "Wh"),
    ("cost", "cost"),
)


def usage(
    by: Annotated[str, typer.Option(help="tenant, model, role, strategy, engine, node, day; by commas.")] = "model",
    since: Annotated[str, typer.Option(help="30m, 12h, 7d, or a date as 2026-01-31.")] = "30d",
    until: Annotated[str | None, typer.Option(help="Calls begun before: a span or a date, as --since.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant only.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for a spreadsheet.")] = False,
    as_json: JsonOption = False,
    offline: Annotated[bool, typer.Option(help="Read the ledger itself; the default where no appliance runs.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show what was consumed, and what it cost."""
    if as_csv and as_json:
        raise InvalidRequest("--csv and --json: one of them")
    began, ended = moment(since, "--since"), None if until is None else moment(until, "--until")
    asked = {"by": by, "since": began, "until": ended, "tenant": tenant}
    wanted = {name: value for name, value in asked.items() if value is not None}
    keys, lines = _read_ledger(config, wanted) if offline else _found(config, url, key_file, wanted)
    if as_json:
        typer.echo(json.dumps(lines))
    elif as_csv:
        _write_csv(keys, lines)
    else:
        Console().print(_table(keys, lines))


def _found(
    config: Path | None, url: str | None, key_file: Path | None, wanted: dict[str, Any]
) -> tuple[list[str], Lines]:
    """Of the running appliance; of the ledger where none runs here."""
    try:
        connection = locate(config, url, key_file)
    except NotRunning:
        return _read_ledger(config, wanted)
    found = connection.get(f"/v1/usage?{urlencode(wanted)}")
    return found["by"], found["data"]


def _read_ledger(config: Path | None, wanted: dict[str, Any]) -> tuple[list[str], Lines]:
    # The database takes half a second to import, which only those shall pay who read it.
    from appliance.bootstrap.ledger import existing_place
    from appliance.ledger.database import Database
    from appliance.ledger.usage_query import UsageQuery, parse_groups

    query = UsageQuery(parse_groups(wanted["by"]), wanted["since"], wanted.get("until"), wanted.get("tenant"))
    database = Database(existing_place(settings_of(config), os.environ))
    with closing(database), database.begin(reads_only=True) as connection:
        lines = query.lines(connection)
    return [key.value for key in query.by], [asdict(line) for line in lines]


def _table(keys: list[str], lines: Lines) -> Table:
    """One row for each line, and a total where there are several of one currency."""
    table = Table(box=None, pad_edge=False)
    for key in keys:
        table.add_column(key, header_style="dim")
    for _, heading in _SUMS:
        table.add_column(heading, header_style="dim", justify="right")
    for line in lines:
        table.add_row(*(line["group"][key] for key in keys), *_cells(line))
    if len(lines) > 1 and keys and len({line["currency"] for line in lines if line["cost"] is not None}) <= 1:
        table.add_row("all", *([""] * (len(keys) - 1)), *_cells(_total(lines)), style="bold")
    return table


def _cells(line: dict[str, Any]) -> Iterator[str]:
    for name, _ in _SUMS:
        value = line[name]
        if value is None:
            yield "–"
        elif name == "cost":
            yield f"{value:,.4f} {line['currency']}"
        elif name == "energy_j":
            yield f"{value / 3_600:,.2f}"
        else:
            yield f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _total(lines: Lines) -> dict[str, Any]:
    """Requests are left out: one that called two models stands in two lines."""
    total: dict[str, Any] = {"requests": None, "currency": next((x["currency"] for x in lines if x["currency"]), "")}
    for name, _ in _SUMS[1:]:
        known = [line[name] for line in lines if line[name] is not None]
        total[name] = sum(known) if known else None
    return total


def _write_csv(keys: list[str], lines: Lines) -> None:
    names = [name for line in lines[:1] for name in line if name != "group"] or [name for name, _ in _SUMS]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*keys, *names])
    for line in lines:
        writer.writerow([*(_plain(line["group"][key]) for key in keys), *(line[name] for name in names)])


def _plain(text: str) -> str:
    """A spreadsheet takes what begins so for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
