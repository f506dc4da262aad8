"""A Helm chart as the package that `helm install` takes, the same bytes for the same files."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from pathlib import Path

import yaml

from appliance.airgap.source import Source, made
from appliance.catalog.files import files_below
from appliance.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_VERSION = re.compile(r"\d+\.\d+\.\d+[A-Za-z0-9.+-]*\Z")


def packaged(directory: Path) -> Source:
    """`chart/NAME-VERSION.tgz`. `helm package` would write the time into it. Raises ConfigError."""
    file = directory / "Chart.yaml"
    try:
        about = yaml.safe_load(file.read_text(encoding="utf-8"))
        name, version = str(about["name"]), str(about["version"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: names no chart: {error}") from None
    if not _NAME.match(name) or not _VERSION.match(version):
        raise ConfigError(f"{file}: {name} {version} is no name and version of a chart")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # Helm wants Chart.yaml first.
        for path in sorted(files_below(directory), key=lambda path: (path != file, path)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{name}/{path.relative_to(directory).as_posix()}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made(f"chart/{name}-{version}.tgz", gzip.compress(archive.getvalue(), mtime=0))
