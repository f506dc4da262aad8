"""`appliance keys create|list|rotate|revoke`: keys of tenants. A key is shown once, when it is made."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from appliance.access.api_keys import Digester, new_key
from appliance.bootstrap.access import open_keys, open_ledger
from appliance.cli.access_view import keys_table, moment
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.domain.credential import KeyRecord
from appliance.domain.tenant import Scope
from appliance.errors import ConfigError, InvalidRequest

commands = typer.Typer(help="Keys of tenants. A key is shown once, when it is made.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key: the 8 characters after `sk-`.")]
ExpiresOption = Annotated[str | None, typer.Option("--expires", help="Valid for so long: 30m, 12h, 90d. Or ever.")]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@commands.command()
def create(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it is.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it opens; more than once. Default: inference.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A label that all requests with it bear; more than once.")
    ] = None,
    expires: ExpiresOption = None,
    note: Annotated[str, typer.Option("--note", help="For people: what it is for.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, this once. It opens a running appliance at once."""
    settings = settings_of(config)
    if unknown := sorted(set(label or ()) - set(settings.policy.labels)):
        raise ConfigError(f"--label {unknown[0]}: it has no rule; add it under policy.labels or to a policy file")
    now_unix_s = time.time()
    record = KeyRecord(
        key_id="",
        tenant=tenant,
        digest="",
        scopes=frozenset(scope or (Scope.INFERENCE,)),
        labels=frozenset(label or ()),
        note=note,
        created_unix_s=now_unix_s,
        expires_unix_s=None if expires is None else now_unix_s + _span(expires, "--expires"),
    )
    with closing(open_ledger(settings)) as ledger:
        keys = open_keys(settings, ledger)
        record, secret = _with_secret(record, keys.digester)
        keys.store.add_key(record)
    _show(record, secret, as_json)


@commands.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys, by the part of them that may be shown."""
    settings = settings_of(config)
    with closing(open_ledger(settings)) as ledger:
        found = open_keys(settings, ledger).store.snapshot().keys
    shown = [key for key in found if tenant in (None, key.tenant)]
    if as_json:
        typer.echo(json.dumps([_document(key) for key in shown], indent=2))
    else:
        Console().print(keys_table(shown))


@commands.command()
def rotate(
    key_id: IdArgument,
    overlap: Annotated[
        str, typer.Option("--overlap", help="The old key stays valid for so long: 0s, 12h, 7d.")
    ] = "24h",
    expires: Annotated[
        str | None, typer.Option("--expires", help="The new key is valid for so long. Default: as the old one was.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key in place of another: same tenant, scopes and labels. The old one ends after the overlap."""
    settings = settings_of(config)
    overlap_s = _span(overlap, "--overlap")
    made: list[tuple[KeyRecord, str]] = []
    with closing(open_ledger(settings)) as ledger:
        keys = open_keys(settings, ledger)

        def successor(old: KeyRecord) -> KeyRecord:
            now_unix_s = time.time()
            lasted = None if old.expires_unix_s is None else old.expires_unix_s - old.created_unix_s
            lasts_s = lasted if expires is None else _span(expires, "--expires")
            ends = None if lasts_s is None else now_unix_s + lasts_s
            new = replace(old, created_unix_s=now_unix_s, expires_unix_s=ends)
            made.append(_with_secret(new, keys.digester))
            return made[0][0]

        old = keys.store.rotate(key_id, successor, overlap_s)
    _show(*made[0], as_json)
    assert old.expires_unix_s is not None, "what was rotated ends"
    Console(stderr=True, highlight=False).print(f"{key_id}: valid until {moment(old.expires_unix_s)}")


@commands.command()
def revoke(key_id: IdArgument, config: ConfigOption = None) -> None:
    """Let a key in no more. A running appliance refuses it within two seconds."""
    settings = settings_of(config)
    with closing(open_ledger(settings)) as ledger:
        key = open_keys(settings, ledger).store.revoke(key_id)
    typer.echo(f"{key_id}: revoked; it was a key of {key.tenant}")


def _with_secret(record: KeyRecord, digester: Digester) -> tuple[KeyRecord, str]:
    key_id, secret = new_key()
    return replace(record, key_id=key_id, digest=digester.digest(secret.encode()).hex()), secret


def _show(record: KeyRecord, secret: str, as_json: bool) -> None:
    """The key alone on stdout, so that it can go into a file; what there is to say on stderr."""
    if as_json:
        typer.echo(json.dumps(_document(record) | {"key": secret}, indent=2))
        return
    typer.echo(secret)
    scopes = ", ".join(sorted(record.scopes))
    until = "" if record.expires_unix_s is None else f", until {moment(record.expires_unix_s)}"
    Console(stderr=True, highlight=False).print(
        f"{record.key_id}: a key of {record.tenant} ({scopes}{until}). It is not shown again."
    )


def _document(key: KeyRecord) -> dict[str, Any]:
    """Without the digest, which is nobody's business."""
    document = asdict(key) | {"scopes": sorted(key.scopes), "labels": sorted(key.labels)}
    del document["digest"]
    return document | {"state": key.state(time.time())}


def _span(said: str, option: str) -> float:
    found = re.fullmatch(r"(\d{1,6})([smhd])", said)
    if found is None:
        raise InvalidRequest(f"{option} {said}: not a span of time; write 30m, 12h or 90d")
    return float(int(found[1]) * _SECONDS[found[2]])
