"""The installed versions: a directory for each, and one link that says which is in use.

ROOT/current          → versions/NAME-ID
ROOT/versions/NAME-ID   catalog/ models/ config/ chart/ … as in the bundle, bundle.json, bundle.sig, installed.json
ROOT/staging            what is being installed; of no meaning to anybody else
ROOT/lock               held by whoever changes anything here
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path

from appliance.airgap.bundle import MANIFEST, read_unsigned
from appliance.airgap.manifest import Manifest
from appliance.errors import AlreadyRunning, BundleError, ConfigError

RECORD = "installed.json"
CURRENT, VERSIONS, STAGING = "current", "versions", "staging"


@dataclass(frozen=True, slots=True)
class Record:
    """What is noted beside an installed version: when it came, and which was in use before."""

    installed_unix_s: float
    previous: str | None


@dataclass(frozen=True, slots=True)
class Installed:
    """One version on this machine."""

    name: str
    path: Path
    manifest: Manifest
    record: Record
    in_use: bool


class VersionTree:
    """The versions below one root. What changes something asks for the lock to be held."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / STAGING

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out; leftovers of an interrupted installation are removed. Raises AlreadyRunning, ConfigError."""
        try:
            (self.root / VERSIONS).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.root}: can't be used: {error.strerror}; name another root") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(f"{self.root}: another installation is at work there; wait for its end") from None
            self.clear()
            yield
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        """Remove what was staged."""
        if self.staging.is_symlink():
            self.staging.unlink()
        if self.staging.exists():
            shutil.rmtree(self.staging)

    def path(self, name: str) -> Path:
        """Where a version lies, or would."""
        return self.root / VERSIONS / name

    @property
    def current(self) -> str | None:
        """The version in use."""
        try:
            target = (self.root / CURRENT).readlink()
        except OSError:
            return None
        return target.name if self.path(target.name).is_dir() else None

    def installed(self) -> list[Installed]:
        """All versions, the one in use first, then the newest. Raises BundleError where one can't be read."""
        current, found = self.current, []
        for path in (self.root / VERSIONS).iterdir() if (self.root / VERSIONS).is_dir() else ():
            found.append(Installed(path.name, path, read_unsigned(path), self.record(path.name), path.name == current))
        return sorted(found, key=lambda one: (not one.in_use, -one.record.installed_unix_s, one.name))

    def record(self, name: str) -> Record:
        """The note beside a version. Raises BundleError."""
        path = self.path(name) / RECORD
        try:
            return Record(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise BundleError(f"{path}: can't be read; install the bundle again") from None

    def write_record(self, directory: Path, record: Record) -> None:
        """Replace the note in `directory`, a version or what is staged."""
        draft = directory / f"{RECORD}.draft"
        draft.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
        synced(draft)
        draft.replace(directory / RECORD)
        synced(directory)

    def previous_of(self, manifest: Manifest) -> str | None:
        """The version to go back to once `manifest` is in use: that in use now, unless it is a copy of the same."""
        current = self.current
        if current is None or read_unsigned(self.path(current)).bundle_id != manifest.bundle_id:
            return current
        return self.record(current).previous

    def adopt(self, manifest: Manifest) -> str:
        """What is staged becomes a version, in one step; its name. A copy of the same that is there stays untouched."""
        names = chain((manifest.version_name,), (f"{manifest.version_name}.{copy}" for copy in count(2)))
        name = next(name for name in names if not self.path(name).exists())
        self.staging.rename(self.path(name))
        synced(self.root / VERSIONS)
        return name

    def switch(self, name: str) -> None:
        """Use a version, in one step: whoever looks sees the former one or this one, whole."""
        draft = self.root / f"{CURRENT}.draft"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path(VERSIONS) / name)
        draft.replace(self.root / CURRENT)
        synced(self.root)

    def prune(self) -> tuple[str, ...]:
        """Remove every version but the one in use and the one before it; their names."""
        current = self.current
        if current is None:
            return ()
        keep = {current, self.record(current).previous}
        gone = tuple(sorted(p.name for p in (self.root / VERSIONS).iterdir() if p.name not in keep))
        for name in gone:
            # Out of the way in one step: a version that is half removed must not be taken for one.
            self.path(name).rename(self.staging)
            shutil.rmtree(self.staging, ignore_errors=True)  # the next one who holds the lock removes what stays
            if self.staging.exists():
                break
        return gone

    def rollback(self, to: str | None) -> str:
        """Use the version before this one, or a named one that is installed; its name. Raises BundleError."""
        current = self.current
        if current is None:
            raise BundleError(f"{self.root}: no version is in use; install a bundle first")
        wanted = to or self.record(current).previous
        names = sorted(path.name for path in (self.root / VERSIONS).iterdir())
        if wanted not in names or not (self.path(wanted) / MANIFEST).is_file():
            others = ", ".join(name for name in names if name != current) or "none"
            missing = f"{wanted} is not installed" if wanted else f"before {current} nothing was installed"
            raise BundleError(f"{self.root}: {missing}; others that are: {others} (`rollback --to NAME`)")
        self.switch(wanted)
        return wanted


def synced(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
