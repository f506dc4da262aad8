"""`appliance tenants list|create|show|set|disable|enable`: who may use the appliance, and under which policy."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from appliance.bootstrap.access import open_keys, open_ledger
from appliance.cli.access_view import keys_table, moment
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.config import Settings
from appliance.domain.credential import TenantRecord
from appliance.domain.identifier import Identifier
from appliance.domain.tenant import DEFAULT
from appliance.errors import ConfigError, NotFound
from appliance.ledger.access_store import AccessSnapshot

commands = typer.Typer(help="Who may use the appliance, and under which policy.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Name of the tenant.")]
PolicyOption = Annotated[str | None, typer.Option("--policy", help="A policy of the configuration. Default: default.")]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", help="A label that the data of all its requests bear; more than once.")
]
NoteOption = Annotated[str | None, typer.Option("--note", help="For people: who is responsible, a ticket, …")]

_NAME: TypeAdapter[str] = TypeAdapter(Identifier)


@commands.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tenants."""
    snapshot = _snapshot(settings_of(config))
    rows = [_summary(tenant, snapshot) for tenant in _all(snapshot)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("tenant", "policy", "labels", "keys", "state", "note"):
        table.add_column(heading, header_style="dim", no_wrap=heading == "tenant")
    for row in rows:
        labels, keys = ", ".join(row["labels"]), str(row["keys"])
        table.add_row(row["name"], row["policy"], labels, keys, row["state"], row["note"])
    Console().print(table)


@commands.command()
def show(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show a tenant and its keys."""
    snapshot = _snapshot(settings_of(config))
    tenant = next((tenant for tenant in _all(snapshot) if tenant.name == name), None)
    if tenant is None:
        raise NotFound(f"no tenant {name}; `appliance tenants list` shows those that there are")
    row = _summary(tenant, snapshot)
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    console = Console()
    console.print(f"[bold]{name}[/bold]  policy {row['policy']}, {row['state']}")
    for what in ("labels", "note"):
        if row[what]:
            console.print(f"{what}: {', '.join(row[what]) if what == 'labels' else row[what]}", markup=False)
    if tenant.created_unix_s:
        console.print(f"since {moment(tenant.created_unix_s)}")
    console.print(keys_table([key for key in snapshot.keys if key.tenant == name]))


@commands.command()
def create(
    name: NameArgument,
    policy: PolicyOption = None,
    label: LabelOption = None,
    note: NoteOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a tenant. It gets in with a key (`appliance keys create`), a token or a certificate."""
    settings = settings_of(config)
    tenant = TenantRecord(_name(name), policy or DEFAULT, frozenset(label or ()), note or "")
    _check(settings, tenant)
    with closing(open_ledger(settings)) as ledger:
        open_keys(settings, ledger).store.create(tenant)
    typer.echo(f"{name}: made, policy {tenant.policy}; give it a key with `appliance keys create {name}`")


@commands.command("set")
def set_(
    name: NameArgument,
    policy: PolicyOption = None,
    label: LabelOption = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Take all labels away first.")] = False,
    note: NoteOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a tenant's policy, labels or note. A running appliance goes by it within two seconds."""
    settings = settings_of(config)
    if policy is None and label is None and note is None and not no_labels:
        raise ConfigError("nothing to change; give --policy, --label, --no-labels or --note")

    def changed(before: TenantRecord) -> TenantRecord:
        after = replace(
            before,
            policy=policy or before.policy,
            labels=(frozenset() if no_labels else before.labels) | frozenset(label or ()),
            note=before.note if note is None else note,
        )
        _check(settings, after)
        return after

    with closing(open_ledger(settings)) as ledger:
        after = open_keys(settings, ledger).store.change(name, changed)
    labels = f", labels {', '.join(sorted(after.labels))}" if after.labels else ""
    typer.echo(f"{name}: policy {after.policy}{labels}")


@commands.command()
def disable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let none of a tenant's keys, tokens and certificates in any more. A running appliance: within two seconds."""
    _disable(name, config, disabled=True)
    typer.echo(f"{name}: disabled; `appliance tenants enable {name}` lets it in again")


@commands.command()
def enable(name: NameArgument, config: ConfigOption = None) -> None:
    """Let a disabled tenant in again, with the keys that it had."""
    _disable(name, config, disabled=False)
    typer.echo(f"{name}: enabled")


def _disable(name: str, config: Path | None, *, disabled: bool) -> None:
    settings = settings_of(config)
    with closing(open_ledger(settings)) as ledger:
        open_keys(settings, ledger).store.disable(name, disabled=disabled)


def _snapshot(settings: Settings) -> AccessSnapshot:
    with closing(open_ledger(settings)) as ledger:
        return open_keys(settings, ledger).store.snapshot()


def _all(snapshot: AccessSnapshot) -> list[TenantRecord]:
    """With the one that is there without being stored."""
    stored = list(snapshot.tenants)
    return stored if any(tenant.name == DEFAULT for tenant in stored) else [TenantRecord(DEFAULT), *stored]


def _summary(tenant: TenantRecord, snapshot: AccessSnapshot) -> dict[str, Any]:
    document = asdict(tenant) | {"labels": sorted(tenant.labels)}
    document["state"] = "enabled" if tenant.disabled_unix_s is None else "disabled"
    return document | {"keys": sum(key.tenant == tenant.name for key in snapshot.keys)}


def _name(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise ConfigError(
            f"tenant {name}: a name has small letters, digits, dots, dashes and underscores, and at most 63 of them"
        ) from None


def _check(settings: Settings, tenant: TenantRecord) -> None:
    """Names that the configuration does not know would be refused with every request, so they are refused here."""
    policies = {DEFAULT, *settings.policy.policies}
    if tenant.policy not in policies:
        known = ", ".join(sorted(policies))
        raise ConfigError(f"--policy {tenant.policy}: not in the configuration; known: {known}")
    if unknown := sorted(tenant.labels - set(settings.policy.labels)):
        raise ConfigError(f"--label {unknown[0]}: it has no rule; add it under policy.labels or to a policy file")
