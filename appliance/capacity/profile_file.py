"""Profiles on disk: read with one clear error, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from appliance.capacity.profile import ADAPTER, Profile, as_json
from appliance.config import describe
from appliance.errors import ConfigError


def load_profile(path: Path) -> Profile:
    """A profile that is sound in itself. Raises ConfigError that names the file and the field."""
    try:
        profile = ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `appliance capacity profile --out {path}` makes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: not a profile: {describe(error)}") from None
    try:
        profile.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return profile


def save_profile(profile: Profile, path: Path) -> None:
    """Replace the file. Raises ConfigError where it can't be written."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(as_json(profile))
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: the profile can't be written: {error}") from None
