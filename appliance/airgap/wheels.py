"""Wheels for both Python environments: only those that a lock file approves, and the appliance itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.airgap.copying import side_by_side
from appliance.airgap.lock_file import Pin, normalized
from appliance.airgap.source import Source, from_file
from appliance.catalog.files import sha256
from appliance.errors import BundleError, ConfigError, ContentRefused

OWN = "appliance"
"""The one package that no lock file lists."""


def wheel_sources(directory: Path, pins: Sequence[Pin]) -> list[Source]:
    """Every wheel below `directory`, whose subdirectories are kept. Raises ContentRefused, ConfigError."""
    files = sorted(directory.rglob("*.whl"))
    if not files:
        raise ConfigError(f"{directory}: there is no wheel (*.whl) in it")
    allowed = {digest for pin in pins for digest in pin.digests}
    digests = side_by_side(sha256, files)
    sources = []
    for file, digest in zip(files, digests, strict=True):
        if digest not in allowed and package_of(file.name) != OWN:
            raise ContentRefused(
                f"{file}: its sha256 {digest} is in no lock file; download it with `bundle create --download-wheels`"
            )
        sources.append(from_file(f"wheels/{file.relative_to(directory).as_posix()}", file, digest))
    return sources


def package_of(file_name: str) -> str:
    """The normalized name of the package that a wheel holds."""
    return normalized(file_name.partition("-")[0])


def download(locks: Mapping[str, Path], directory: Path) -> None:
    """The wheels of each environment by its lock file, through pip, with all digests checked.

    `locks` maps a subdirectory of `directory` to its lock file. Raises BundleError.
    """
    for name, lock in locks.items():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "-r", str(lock), "-d", str(directory / name)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise BundleError(f"{lock}: wheels could not be downloaded: {last}; the same command goes on with them")
