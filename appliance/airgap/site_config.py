"""The configuration for the other side, and the policy files that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from appliance.airgap.source import Source, from_file, made
from appliance.config import Settings
from appliance.errors import ConfigError

CONFIG = "config/appliance.yaml"
_HEAD = "# Made for the other side of the air gap; the directories of models are those of this version.\n"


def site_sources(settings: Settings) -> Iterator[Source]:
    """The configuration with the paths that hold in an installed version, and its policies. Raises ConfigError."""
    document: dict[str, Any] = yaml.safe_load(Path(settings.source).read_text(encoding="utf-8"))
    document["models"] = {**document["models"], "catalog": "../catalog", "store": "../models"}
    if files := _policy_files(settings, document):
        document["policy"]["files"] = [f"../policies/{file.name}" for file in files]
    text = _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    yield made(CONFIG, text.encode())
    for file in files:
        yield from_file(f"policies/{file.name}", file)


def _policy_files(settings: Settings, document: Mapping[str, Any]) -> list[Path]:
    """The files that the configuration names. Raises ConfigError where two policies have one name."""
    base = Path(settings.source).resolve().parent
    files = [(base / name).resolve() for name in (document.get("policy") or {}).get("files") or ()]
    taken = sorted(path.resolve() for path in settings.bundle.policies.glob("*") if path.is_file())
    for file in files:
        if any(other.name == file.name and other != file for other in (*files, *taken)):
            raise ConfigError(f"{settings.source}: policy.files: another policy is named {file.name}, too; rename one")
    return files
