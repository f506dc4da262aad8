"""`appliance bundle keygen|create|verify|install|rollback|list|diff`: across the air gap."""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.airgap import images as image_archives
from appliance.airgap.bundle import read_unsigned
from appliance.airgap.contents import Extras, gather
from appliance.airgap.difference import difference
from appliance.airgap.hub import fetch
from appliance.airgap.install import install as install_bundle
from appliance.airgap.loading import load_images
from appliance.airgap.pack import Form, Heading, pack
from appliance.airgap.signing import key_id, read_private_key, read_public_key, write_key_pair
from appliance.airgap.tar_form import BLOCK_BYTES
from appliance.airgap.verify import verify as verify_bundle
from appliance.airgap.versions import VersionTree
from appliance.airgap.wheels import download
from appliance.cli.bundle_view import contents_table, created, difference_lines, versions_table
from appliance.cli.byte_bar import byte_bar
from appliance.cli.byte_size import parsed_bytes
from appliance.cli.door import BUNDLE_EXITS, complain, exit_code
from appliance.cli.model_view import size
from appliance.cli.options import ConfigOption, JsonOption, settings_of
from appliance.errors import ApplianceError, BundleDamaged, ConfigError

DEFAULT_ROOT = Path("/var/lib/appliance")

commands = typer.Typer(help="Signed bundles that cross an air gap.", no_args_is_help=True)

BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Directory of a bundle.")]
PublicKeyOption = Annotated[
    list[Path],
    typer.Option("--public-key", "-k", envvar="APPLIANCE_BUNDLE_PUBLIC_KEY", help="Trusted key; more than once."),
]
RootOption = Annotated[
    Path, typer.Option("--root", envvar="APPLIANCE_ROOT", help="Directory that versions are installed in.")
]


@commands.command()
def keygen(file: Annotated[Path, typer.Argument(help="Private key to write; FILE.pub is the public one.")]) -> None:
    """Make a key pair. The private key stays on the connected side; the public one is all that the other side needs."""
    public = write_key_pair(file)
    typer.echo(f"{file}: private key, keep it; {public}: public key {key_id(read_public_key(public))}, hand it over")


@commands.command()
def create(
    out: Annotated[Path, typer.Option("--out", help="Directory to make.")],
    key: Annotated[Path, typer.Option("--key", envvar="APPLIANCE_BUNDLE_KEY", help="Private key that signs it.")],
    config: ConfigOption = None,
    split: Annotated[str | None, typer.Option("--split", help="Parts smaller than this, such as 4GiB.")] = None,
    since: Annotated[
        Path | None, typer.Option("--since", help="Bundle that the other side has: only what changed is carried.")
    ] = None,
    image: Annotated[list[Path] | None, typer.Option("--image", help="Archive of container images.")] = None,
    wheels: Annotated[Path | None, typer.Option("--wheels", help="Directory of wheels, checked by the locks.")] = None,
    download_wheels: Annotated[
        list[str] | None,
        typer.Option("--download-wheels", metavar="LOCK", help="Fetch into --wheels, e.g. appliance-runtime."),
    ] = None,
) -> None:
    """Make a signed bundle of all that a configuration needs. The same command goes on where it was interrupted."""
    settings = settings_of(config)
    part_bytes = None if split is None else _part_bytes(split)
    signing = read_private_key(key)
    base = None if since is None else read_unsigned(since)
    if download_wheels:
        download(_locks(settings.bundle.locks, download_wheels), _required(wheels))
    contents = gather(settings, version("appliance"), Extras(image or (), wheels), fetch)
    for name in contents.left_out:
        typer.echo(f"not there, so left out: {name}", err=True)
    heading = Heading(settings.bundle.name, version("appliance"), contents.models, contents.images)
    with byte_bar(out.name, contents.size_bytes * (1 if base is None else 2)) as report:
        manifest = pack(contents.sources, heading, signing, out, Form(part_bytes, base), report)
    typer.echo(created(out, manifest))


@commands.command()
def verify(bundle: BundleArgument, public_key: PublicKeyOption, as_json: JsonOption = False) -> None:
    """Check signature and every byte, offline. Exit codes: 0 good, 3 signature, 4 list, 5 damaged, 6 incomplete."""
    trusted = [read_public_key(path) for path in public_key]
    try:
        total = read_unsigned(bundle).layout().size_bytes
    except ApplianceError:
        total = 0  # said below, in the right order: the signature first
    try:
        with byte_bar(bundle.name, total) as report:
            manifest = verify_bundle(bundle, trusted, report).manifest
    except ApplianceError as error:
        if type(error) not in BUNDLE_EXITS:
            raise
        problems = error.problems if isinstance(error, BundleDamaged) else (str(error),)
        for problem in problems:
            complain(problem)
        if as_json:
            typer.echo(json.dumps({"good": False, "problems": problems}, indent=2))
        raise typer.Exit(exit_code(error)) from None
    if as_json:
        typer.echo(json.dumps({"good": True, "id": manifest.bundle_id, "key_id": manifest.key_id}, indent=2))
    else:
        typer.echo(
            f"{bundle}: good, {manifest.version_name}, {len(manifest.entries)} files, signed by {manifest.key_id}"
        )


@commands.command()
def install(
    bundle: BundleArgument,
    public_key: PublicKeyOption,
    root: RootOption = DEFAULT_ROOT,
    registry: Annotated[str, typer.Option("--registry", help="Private registry for the images.")] = "",
    load: Annotated[bool, typer.Option("--load", help="Run the commands that load images (needs skopeo).")] = False,
) -> None:
    """Check a bundle while unpacking it, then use it in one step; the version before is kept for `rollback`."""
    if load and not registry:
        raise ConfigError("--load: name the registry with --registry HOST[:PORT][/PATH]")
    trusted = [read_public_key(path) for path in public_key]
    tree = VersionTree(root)
    with byte_bar(bundle.name, _size_bytes(bundle)) as report:
        done = install_bundle(bundle, trusted, tree, time.time(), report)
    typer.echo(f"{root / 'current'}: {done.path.name} in use; before: {done.previous or 'nothing'}")
    for name in done.removed:
        typer.echo(f"removed {name}")
    if done.manifest.images:
        target = registry or "REGISTRY.EXAMPLE"
        load_images(
            image_archives.load_commands(done.manifest.images, root / "current", target), run=load, say=typer.echo
        )


@commands.command()
def rollback(
    root: RootOption = DEFAULT_ROOT,
    to: Annotated[str | None, typer.Option("--to", help="Version to use. Default: the one before.")] = None,
) -> None:
    """Use the version before this one again, in one step."""
    tree = VersionTree(root)
    with tree.locked():
        name = tree.rollback(to)
    typer.echo(f"{root / 'current'}: {name} in use")


@commands.command("list")
def list_(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="List its contents instead.")] = None,
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonOption = False,
) -> None:
    """List the installed versions, or the contents of a bundle (as it says itself: `verify` tells if it is true)."""
    if bundle is not None:
        manifest = read_unsigned(bundle)
        if as_json:
            typer.echo(manifest.to_bytes().decode(), nl=False)
        else:
            Console().print(contents_table(manifest))
        return
    installed = VersionTree(root).installed()
    if as_json:
        rows = [
            {"name": one.name, "in_use": one.in_use, "previous": one.record.previous,
             "installed_unix_s": one.record.installed_unix_s, "key_id": one.manifest.key_id,
             "models": [model.model_dump() for model in one.manifest.models]}
            for one in installed
        ]  # fmt: skip
        typer.echo(json.dumps(rows, indent=2))
    elif installed:
        Console().print(versions_table(installed))
    else:
        typer.echo(f"{root}: nothing is installed")


@commands.command()
def diff(
    old: Annotated[Path, typer.Argument(help="A bundle or an installed version.")],
    new: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Show what changed between two bundles."""
    found = difference(read_unsigned(old), read_unsigned(new))
    if as_json:
        groups = {"added": found.added, "changed": found.changed, "removed": found.removed}
        document = {name: [entry.model_dump() for entry in entries] for name, entries in groups.items()}
        typer.echo(json.dumps(document | {"same_bytes": found.same_bytes}, indent=2))
        return
    for line in difference_lines(found):
        typer.echo(line)
    typer.echo(f"the same: {size(found.same_bytes)}")


def _part_bytes(split: str) -> int:
    """Whole blocks below the size, since file systems of media take files smaller than 4 GiB, not of 4 GiB."""
    wanted = (parsed_bytes(split) - 1) // BLOCK_BYTES * BLOCK_BYTES
    if wanted < 2048 * BLOCK_BYTES // 2:
        raise typer.BadParameter("--split: parts of less than 1 MiB make no sense")
    return wanted


def _size_bytes(bundle: Path) -> int:
    """For the bar alone."""
    try:
        return sum(entry.size_bytes for entry in read_unsigned(bundle).entries)
    except ApplianceError:
        return 0


def _locks(directory: Path, names: list[str]) -> dict[str, Path]:
    files = {name: directory / f"{name}.txt" for name in names}
    for name, file in files.items():
        if not file.is_file():
            raise ConfigError(f"--download-wheels {name}: there is no {file}")
    return files


def _required(wheels: Path | None) -> Path:
    if wheels is None:
        raise ConfigError("--download-wheels: name the directory for them with --wheels DIR")
    return wheels
