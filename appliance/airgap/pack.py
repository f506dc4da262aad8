"""From files to a bundle on disk: copied and hashed at once, several at a time, resumable, in place in one step."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.airgap.bundle import MANIFEST, SIGNATURE
from appliance.airgap.copying import Write, side_by_side, streamed
from appliance.airgap.manifest import BundledImage, BundledModel, Entry, Manifest, read_manifest
from appliance.airgap.packing_journal import Done, PackingJournal
from appliance.airgap.payload import Payload
from appliance.airgap.signing import key_id
from appliance.airgap.source import Source
from appliance.airgap.tar_form import END, Member, Place, layout
from appliance.airgap.versions import synced
from appliance.catalog.files import Progress, unheard
from appliance.errors import AlreadyRunning, BundleError, ConfigError, ContentRefused

LOCK, JOURNAL = "lock", "journal"


@dataclass(frozen=True, slots=True)
class Heading:
    """What a manifest says besides its files."""

    name: str
    appliance: str
    models: tuple[BundledModel, ...] = ()
    images: tuple[BundledImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How a bundle is written: on media of a size, or only what changed since another one."""

    part_bytes: int | None = None
    base: Manifest | None = None


def pack(
    sources: Sequence[Source],
    heading: Heading,
    key: Ed25519PrivateKey,
    out: Path,
    form: Form = Form(),
    progress: Progress = unheard,
) -> Manifest:
    """Write a bundle to `out`, which is not there before, and is whole when it is. The same files make the same bundle.

    An interrupted run is taken up again where it stopped: work is done in a hidden directory beside `out`. Raises
    ConfigError, ContentRefused, AlreadyRunning, BundleError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; name a new directory")
    sources = sorted(sources, key=lambda source: source.path)
    try:
        with _working(out) as work:
            entries = _entries(sources, work, form, progress)
            base = None if form.base is None else form.base.bundle_id
            manifest = Manifest(
                name=heading.name,
                appliance=heading.appliance,
                key_id=key_id(key.public_key()),
                base=base,
                models=heading.models,
                images=heading.images,
                entries=tuple(entries),
            )
            _publish(manifest, key, work, out)
    except OSError as error:
        raise BundleError(
            f"{error.filename or out}: {error.strerror}; the bundle is not finished; the same command goes on with it"
        ) from None
    return manifest


@contextmanager
def _working(out: Path) -> Iterator[Path]:
    """The hidden directory, which nobody else writes to."""
    work = out.absolute().with_name(f".{out.name}.making")
    work.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(work / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(f"{out}: is being made already; wait for its end") from None
        yield work
    finally:
        os.close(descriptor)


def _entries(sources: Sequence[Source], work: Path, form: Form, progress: Progress) -> Iterator[Entry]:
    """The payload is written; the entries of the manifest."""
    kept = _kept(sources, form.base, progress)
    carried = [source for source in sources if source.path not in kept]
    plan = layout(Member(source.path, source.size_bytes) for source in carried)
    with PackingJournal.open(work / JOURNAL, f"{form.part_bytes} {plan.size_bytes}") as journal:
        if not journal.continued:
            for path in work.glob("payload.tar*"):
                path.unlink()
            if shutil.disk_usage(work).free < plan.size_bytes:
                raise BundleError(f"{work.parent}: {plan.size_bytes} bytes are needed there; make room, or use --out")
        with Payload.writing(work, plan.size_bytes, form.part_bytes) as payload:
            pairs = list(zip(carried, plan.places, strict=True))
            done = dict(
                zip(
                    (source.path for source in carried),
                    side_by_side(lambda pair: _packed(*pair, payload, journal, progress), pairs),
                    strict=True,
                )
            )
            payload.write(plan.end_at, END)
    for source in sources:
        digest = kept.get(source.path)
        yield Entry(
            path=source.path,
            size_bytes=source.size_bytes,
            sha256=digest or done[source.path],
            in_base=digest is not None,
        )


def _kept(sources: Sequence[Source], base: Manifest | None, progress: Progress) -> dict[str, str]:
    """Path → digest of what `base` has already."""
    if base is None:
        return {}
    known = {entry.sha256 for entry in base.entries}
    found = side_by_side(lambda source: _read(source, None, progress), sources)
    return {source.path: digest for source, digest in zip(sources, found, strict=True) if digest in known}


def _packed(source: Source, place: Place, payload: Payload, journal: PackingJournal, progress: Progress) -> str:
    """One file in its place; its digest. What an earlier run wrote is read again, and trusted if it is the same."""
    payload.write(place.header_at, place.header)
    payload.write(place.end_at, bytes(place.padding_bytes))
    at, done = place.content_at, journal.done(source)
    if done is not None and done.content_at == at:
        there = streamed(
            lambda position, buffer: payload.read_into(at + position, buffer), source.size_bytes, None, progress
        )
        if there == (source.size_bytes, done.sha256):
            return done.sha256
    digest = _read(source, lambda position, piece: payload.write(at + position, piece), progress)
    journal.add(Done.of(source, at, digest))
    return digest


def _read(source: Source, write: Write | None, progress: Progress) -> str:
    """Read a source, and write it where wanted; its digest. Raises ContentRefused where it is not what it should be."""
    with source.reading() as read:
        size, digest = streamed(read, source.size_bytes, write, progress)
        more = read(source.size_bytes, memoryview(bytearray(1)))
    if size != source.size_bytes or more:
        raise BundleError(f"{source.origin_name}: changed while it was read; make the bundle when nobody writes there")
    if source.sha256 not in {None, digest}:
        raise ContentRefused(
            f"{source.origin_name}: is not the approved file: its sha256 is {digest}, its manifest says {source.sha256}"
        )
    return digest


def _publish(manifest: Manifest, key: Ed25519PrivateKey, work: Path, out: Path) -> None:
    content = manifest.to_bytes()
    read_manifest(content)  # what this appliance would not read must not leave it
    for name, written in ((MANIFEST, content), (SIGNATURE, key.sign(content))):
        (work / name).write_bytes(written)
        synced(work / name)
    for name in (JOURNAL, LOCK):
        (work / name).unlink(missing_ok=True)
    synced(work)
    work.rename(out)
    synced(out.absolute().parent)
