"""`appliance audit verify|export|head|digest`: what was recorded, and whether it still stands as it was written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from appliance.bootstrap.auditing import read_key
from appliance.cli.moments import moment
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.errors import InvalidRequest, LedgerError
from appliance.ledger.audit_chain import Break, Head, Link, first_break, link_of, parsed
from appliance.ledger.audit_file import chains, lines, read_head, segments
from appliance.ledger.audit_records import digest_of

commands = typer.Typer(help="The audit chain: who asked for what, and how it ended.", no_args_is_help=True)

ChainOption = Annotated[str | None, typer.Option("--chain", help="This chain only; see the names of the files.")]
AuditKeyOption = Annotated[Path | None, typer.Option("--audit-key", help="The chains' key. Default: as configured.")]


class _Where(NamedTuple):
    """Directories of the chains and of their heads, and the file of their key."""

    directory: Path
    heads: Path
    key_file: Path


@commands.command()
def verify(
    chain: ChainOption = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="These segments of one chain, oldest first, wherever they are.")
    ] = None,
    head: Annotated[
        list[Path] | None, typer.Option("--head", help="Heads that were kept apart, from `appliance audit head`.")
    ] = None,
    first: Annotated[int, typer.Option(min=1, help="The record that the oldest segment begins with.")] = 1,
    audit_key: AuditKeyOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check every record of every chain. The exit code is 1 where one is not as it was written."""
    kept = [found for path in head or () for found in _heads_of(path)]
    if file:
        found = [_of_files(file, chain, kept, first, _key(audit_key, config))]
    else:
        where = _where(config)
        names = [chain] if chain else chains(where.directory, where.heads)
        key = read_key(audit_key or where.key_file)
        found = [_of_directory(where, name, kept, first, key) for name in names]
    broken = [told["problem"] for told in found if told["problem"]]
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        for told in found:
            typer.echo(f"chain {told['chain']}: {told['problem'] or _whole(told)}")
    if broken:
        raise LedgerError(f"{len(broken)} of {len(found)} audit chains are not as they were written: {broken[0]}")


@commands.command()
def export(
    chain: ChainOption = None,
    since: Annotated[str | None, typer.Option(help="30m, 12h, 7d, or a date as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(help="Records before: a span or a date, as --since.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant only.")] = None,
    config: ConfigOption = None,
) -> None:
    """Print the records as lines of JSON, each with its chain and its hash, chain by chain."""
    began = moment(since, "--since") if since else None
    ended = moment(until, "--until") if until else None
    where = _where(config)
    for name in [chain] if chain else chains(where.directory, where.heads):
        mine: set[str] = set()
        for line in lines(segments(where.directory, name)):
            whole = line.removesuffix(b"\n")
            record = parsed(whole)
            if record is None or not _wanted(record, began, ended) or not _of_tenant(record, tenant, mine):
                continue
            sys.stdout.buffer.write(
                orjson.dumps({"chain": name, "hash": link_of(whole, record).digest, **record}) + b"\n"
            )


@commands.command("head")
def head_(chain: ChainOption = None, config: ConfigOption = None) -> None:
    """Print the newest head of each chain, to be kept where nobody who can change the chains can change it."""
    where = _where(config)
    for name in [chain] if chain else chains(where.directory, where.heads):
        found = read_head(where.heads, name)
        if found is not None:
            typer.echo(orjson.dumps(asdict(found)))


@commands.command()
def digest(
    file: Annotated[Path, typer.Argument(help="A request's body, or an answer, as it went over the wire.")],
    audit_key: AuditKeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the keyed digest of a file, as the records have it under body_hmac and answer_digest."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file}: can't be read ({error.strerror})") from None
    typer.echo(digest_of(content, _key(audit_key, config)))


def _where(config: Path | None) -> _Where:
    settings = settings_of(config)
    said = settings.ledger.audit
    return _Where(*(settings.below_data_dir(path) for path in (said.directory, said.heads, said.key_file)))


def _key(audit_key: Path | None, config: Path | None) -> bytes:
    return read_key(audit_key or _where(config).key_file)


def _heads_of(path: Path) -> Iterator[Head]:
    """One a line."""
    for line in lines([path]):
        try:
            yield Head(**orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError):
            raise InvalidRequest(f"--head {path}: holds no heads, as `appliance audit head` prints them") from None


def _of_directory(where: _Where, chain: str, kept: list[Head], first: int, key: bytes) -> dict[str, Any]:
    newest = read_head(where.heads, chain)
    heads = [head for head in (newest, *kept) if head is not None and head.chain == chain]
    return _told(chain, first_break(chain, lines(segments(where.directory, chain)), heads, key, first))


def _of_files(files: list[Path], chain: str | None, kept: list[Head], first: int, key: bytes) -> dict[str, Any]:
    if not kept:
        raise InvalidRequest("--file: name the chain's head too, with --head; without it nobody can see a missing end")
    name = chain or kept[0].chain
    return _told(name, first_break(name, lines(files), [head for head in kept if head.chain == name], key, first))


def _told(chain: str, found: tuple[Break | None, Link]) -> dict[str, Any]:
    broken, at = found
    problem = ""
    if broken is not None:
        where = f" (line {broken.line} of what was read)" if broken.line else ""
        problem = f"record {broken.number}{where}: {broken.problem}"
    return {"chain": chain, "records": at.number, "hash": at.digest, "problem": problem}


def _whole(told: dict[str, Any]) -> str:
    return f"{told['records']:,} records, each as it was written; the last one is {told['hash'][:16]}…"


def _wanted(record: Any, began: float | None, ended: float | None) -> bool:
    at = record.get("at")
    if not isinstance(at, (int, float)):
        return True
    return (began is None or at >= began) and (ended is None or at < ended)


def _of_tenant(record: Any, tenant: str | None, mine: set[str]) -> bool:
    """Records that end a request don't say whose it was; `mine` are the traces of the tenant so far."""
    if tenant is None:
        return True
    if record.get("tenant") == tenant:
        mine.add(str(record.get("trace_id")))
        return True
    return record.get("kind") == "finished" and record.get("trace_id") in mine
