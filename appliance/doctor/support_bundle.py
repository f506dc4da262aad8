"""What helps others to help: findings, versions, plan, configuration and logs, with nothing that callers sent."""

from __future__ import annotations

import io
import json
import os
import platform
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from appliance.config import Settings
from appliance.doctor.finding import Finding
from appliance.doctor.redaction import REDACTED, engine_log, settings_without_secrets, without
from appliance.engines.version import installed_version
from appliance.errors import ConfigError
from appliance.inventory.nvml import driver_version
from appliance.telemetry.logs import redact

LOG_BYTES = 2_000_000
"""Of each log its end."""
LONGEST_VALUE = 200
OWN_LOG = "appliance.log"
_SECRET_VARIABLES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "LEDGER_URL")


def write(path: Path, settings: Settings, findings: Sequence[Finding], environment: Mapping[str, str]) -> None:
    """A compressed archive that only its owner may read; nothing is overwritten. Raises ConfigError."""
    secrets = tuple(_secrets(settings, environment))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}; name a new file") from None
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in _texts(settings, findings):
            content = without(text, secrets).encode()
            entry = tarfile.TarInfo(f"support/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _texts(settings: Settings, findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    yield "findings.json", _json([asdict(finding) for finding in findings])
    yield "versions.json", _json(_versions(settings))
    yield "config.json", _json(settings_without_secrets(settings.model_dump(mode="json")))
    plan = settings.data_dir / "plan.json"
    if plan.is_file():
        yield "plan.json", plan.read_text(encoding="utf-8", errors="replace")
    logs = settings.data_dir / "logs"
    for log in sorted(path for path in logs.rglob("*.log*") if path.is_file() and not path.is_symlink()):
        lines = _end(log)
        own = log.name.startswith(OWN_LOG)
        yield (
            f"logs/{log.relative_to(logs).as_posix()}",
            "".join(f"{line}\n" for line in (_own_log(lines) if own else engine_log(lines))),
        )


def _versions(settings: Settings) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "driver": driver_version() or None,
        "vllm": installed_version(settings.engines.python),
        "packages": dict(sorted((found.name, found.version) for found in distributions())),
    }


def _own_log(lines: Sequence[str]) -> Iterator[str]:
    """The appliance's log, whose lines hold no prompts; checked again, and without long texts."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield json.dumps({key: _short(value) for key, value in redact(None, "", event).items()})


def _short(value: Any) -> Any:
    """Numbers and short words: what is longer might be a text that somebody wrote."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else REDACTED
    if isinstance(value, Mapping):
        return {key: _short(inner) for key, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def _end(path: Path) -> list[str]:
    """The last lines, without the first one if it is cut. A log that can't be read is empty."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[1:] if size > LOG_BYTES else lines


def _secrets(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    """Everything that is known to be secret, to be looked for in whatever is written."""
    for file in (settings.server.api_key_file, settings.ledger.url_file):
        if file is not None:
            yield from _words(settings.below_data_dir(file))
    for name, value in environment.items():
        if any(word in name.upper() for word in _SECRET_VARIABLES):
            yield value


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, default=str) + "\n"
