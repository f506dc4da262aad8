"""From a bundle into the tree of versions: each byte is checked on its way, and all are good before one is used."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.airgap.approval import require_approved, require_harmless
from appliance.airgap.bundle import MANIFEST, SIGNATURE, SignedManifest, read_signed
from appliance.airgap.copying import file_reader, file_writer, side_by_side, streamed
from appliance.airgap.manifest import Entry, Manifest
from appliance.airgap.payload import Payload
from appliance.airgap.tar_form import Place
from appliance.airgap.verify import checked, end_problem, require_size
from appliance.airgap.versions import Record, VersionTree, synced
from appliance.catalog.files import Progress, unheard
from appliance.errors import BaseMissing, BundleDamaged, BundleError

SPARE_BYTES = 64 << 20
"""Left free for directories and notes."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Installation:
    """What was installed, what was in use before, and which older versions were removed."""

    manifest: Manifest
    path: Path
    previous: str | None
    removed: tuple[str, ...]


def install(
    directory: Path,
    trusted: Sequence[Ed25519PublicKey],
    tree: VersionTree,
    now_unix_s: float,
    progress: Progress = unheard,
) -> Installation:
    """Check a bundle while it is unpacked beside the versions that are there, then use it, in one step.

    Before that step the version in use stays as it is, whatever happens; the one before it is kept, older ones go.
    Raises the same as `verify`, and BaseMissing, ContentRefused, AlreadyRunning, BundleError.
    """
    signed = read_signed(directory, trusted)
    require_harmless(signed.manifest)
    with tree.locked():
        previous = tree.previous_of(signed.manifest)
        try:
            _staged(directory, signed, tree, progress)
            tree.write_record(tree.staging, Record(now_unix_s, previous))
            name = tree.adopt(signed.manifest)
            tree.switch(name)
        except OSError as error:
            tree.clear()
            raise _words(error, tree) from None
        except BaseException:  # Ctrl-C as well: nothing half-installed stays, and it goes on up
            tree.clear()
            raise
        return Installation(signed.manifest, tree.path(name), previous, tree.prune())


def _staged(directory: Path, signed: SignedManifest, tree: VersionTree, progress: Progress) -> None:
    """All of the bundle in the staging directory, checked and on the disk."""
    manifest, layout = signed.manifest, signed.manifest.layout()
    here = _kept(tree, manifest)
    with Payload.reading(directory) as payload:
        require_size(directory, payload, layout)
        _require_room(tree, manifest)
        _make_folders(tree.staging, manifest)
        places = dict(zip((entry.path for entry in manifest.carried), layout.places, strict=True))
        found = side_by_side(
            lambda entry: _unpacked(
                payload, places.get(entry.path), entry, here.get(entry.path), tree.staging, progress
            ),
            manifest.entries,
        )
        problems = [problem for problem in (*found, end_problem(payload, layout)) if problem]
    if problems:
        raise BundleDamaged(problems)
    require_approved(tree.staging, manifest)
    for file, content in ((MANIFEST, signed.content), (SIGNATURE, signed.signature)):
        (tree.staging / file).write_bytes(content)
        synced(tree.staging / file)
    for folder, _, _ in os.walk(tree.staging):
        synced(Path(folder))


def _kept(tree: VersionTree, manifest: Manifest) -> Mapping[str, Path]:
    """For each entry that a differential bundle leaves out, the file of its base. Raises BaseMissing."""
    if manifest.base is None:
        return {}
    base = next((one for one in tree.installed() if one.manifest.bundle_id == manifest.base), None)
    if base is None:
        have = ", ".join(one.name for one in tree.installed()) or "nothing"
        raise BaseMissing(
            f"the bundle holds only what changed since {manifest.base}, and {tree.root} has {have}; "
            "install that one first, or take a whole bundle"
        )
    by_digest = {entry.sha256: base.path / entry.path for entry in base.manifest.entries}
    wanted = [entry for entry in manifest.entries if entry.in_base]
    if lost := [entry.path for entry in wanted if entry.sha256 not in by_digest]:
        raise BaseMissing(f"{lost[0]}: is said to be in {base.name}, and is not; take a whole bundle")
    return {entry.path: by_digest[entry.sha256] for entry in wanted}


def _require_room(tree: VersionTree, manifest: Manifest) -> None:
    """The listed sizes bound all that is written; raise BundleError where the disk has less room."""
    wanted = sum(entry.size_bytes for entry in manifest.carried)
    free = shutil.disk_usage(tree.root).free
    if free < wanted + SPARE_BYTES:
        raise BundleError(
            f"{tree.root}: {wanted + SPARE_BYTES - free} bytes more are needed on this disk: the bundle takes "
            f"{wanted}, {free} are free; make room, or name another root"
        )


def _make_folders(staging: Path, manifest: Manifest) -> None:
    staging.mkdir(mode=0o755)
    for folder in sorted({entry.path.rpartition("/")[0] for entry in manifest.entries}):
        (staging / folder).mkdir(parents=True, exist_ok=True)


def _unpacked(
    payload: Payload, place: Place | None, entry: Entry, kept: Path | None, staging: Path, progress: Progress
) -> str:
    """Write one file, from the payload or from the base; what is wrong with it, or empty."""
    target = staging / entry.path
    if kept is not None:
        return _linked(entry, kept, target, progress)
    assert place is not None
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        problem = checked(payload, place, entry, file_writer(descriptor), progress)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return problem


def _linked(entry: Entry, kept: Path, target: Path, progress: Progress) -> str:
    """The file of the base once more, as a second name of it, if it still is what was signed."""
    descriptor = os.open(kept, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        read_bytes, digest = streamed(file_reader(descriptor), entry.size_bytes + 1, None, progress)
    finally:
        os.close(descriptor)
    if read_bytes != entry.size_bytes or digest != entry.sha256:
        return f"{entry.path}: {kept} was changed since it was installed; take a whole bundle"
    os.link(kept, target)
    return ""


def _words(error: OSError, tree: VersionTree) -> BundleError:
    if error.errno in _NO_ROOM:
        return BundleError(f"{tree.root}: the disk is full; nothing was changed; make room, or name another root")
    return BundleError(f"{error.filename or tree.root}: {error.strerror}; nothing was changed")
