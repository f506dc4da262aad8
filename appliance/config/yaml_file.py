"""YAML files with a mapping at their top, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from appliance.errors import ConfigError


def read_mapping(path: Path, *, when_missing: str, expected: str) -> dict[str, Any]:
    """The mapping. Raises ConfigError: `when_missing` is the way out of no file, `expected` what the top should be."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; {when_missing}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected {expected}")
    return document
