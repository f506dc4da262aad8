"""YAML and environment → frozen settings, once; every error names the file, the key and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from appliance.config.policy import PolicyFile, merged
from appliance.config.section import Section
from appliance.config.settings import Settings
from appliance.config.yaml_file import read_mapping
from appliance.errors import ConfigError

S = TypeVar("S", bound=Section)

ENVIRONMENT_OVERRIDES = {
    "APPLIANCE_HOST": ("server", "host"),
    "APPLIANCE_PORT": ("server", "port"),
    "APPLIANCE_DATA_DIR": ("data_dir",),
    "APPLIANCE_ENGINE_PYTHON": ("engines", "python"),
    "APPLIANCE_WORKERS": ("server", "workers"),
    "APPLIANCE_PACK_KEY_FILE": ("cluster", "key_file"),
    "APPLIANCE_SALT_FILE": ("cluster", "salt_file"),
    "APPLIANCE_PACK_NAME": ("cluster", "door", "name"),
    "APPLIANCE_PACK_HOST": ("cluster", "door", "host"),
    "APPLIANCE_PACK_PORT": ("cluster", "door", "port"),
    "APPLIANCE_ENGINE_HOST": ("cluster", "door", "engine_host"),
    "APPLIANCE_NODE": ("cluster", "door", "node"),
    "LWS_GROUP_SIZE": ("cluster", "group", "size"),
    "LWS_WORKER_INDEX": ("cluster", "group", "rank"),
    "LWS_LEADER_ADDRESS": ("cluster", "group", "leader"),
    "APPLIANCE_PACK_URLS": ("cluster", "discovery", "urls"),
    "APPLIANCE_PACK_SERVICE": ("cluster", "discovery", "kubernetes", "service"),
}
"""Environment variables that win over the file, and the key that each of them sets."""


def load(path: Path, environment: dict[str, str] | None = None) -> Settings:
    """Read and check one configuration file.

    Relative paths under `models` are taken from the file's own directory. Raises ConfigError.
    """
    environment = dict(os.environ) if environment is None else environment
    document = _document(path, "give an existing one with --config", "config/starter.yaml")
    _override(document, environment)
    _with_policy_files(document, path)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None
    return _anchored(settings, path)


def _document(path: Path, when_missing: str, example: str) -> dict[str, Any]:
    return read_mapping(path, when_missing=when_missing, expected=f"a mapping of settings at the top; see {example}")


def _with_policy_files(document: dict[str, Any], path: Path) -> None:
    """Take in what `policy.files` name, each checked by itself so that its errors name it."""
    policy = document.get("policy")
    files = policy.get("files") if isinstance(policy, dict) else None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        return  # none, or the schema's error names the key
    for name in files:
        file = _below(path.resolve().parent, Path(name))
        further = _document(file, "correct policy.files", "config/policies/")
        try:
            document["policy"] = merged(document["policy"], PolicyFile.model_validate(further), str(file))
        except ValidationError as error:
            raise ConfigError(f"{file}: {describe(error)}") from None
        except ValueError as error:
            raise ConfigError(f"policy.files: {error}") from None


def describe(error: ValidationError) -> str:
    """All problems of a validation error in one line, each with its key.

    That a list is too short goes without saying where one of its entries is wrong: those are left out of it.
    """
    problems, found = [], error.errors(include_url=False)
    for problem in found:
        inside = any(len(other["loc"]) > len(problem["loc"]) and _within(other, problem) for other in found)
        if problem["type"] == "too_short" and inside:
            continue
        key = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key; see `appliance config schema` for the known ones"
        problems.append(f"{key}: {message}" if key else message)
    return "; ".join(problems)


def _within(one: ErrorDetails, other: ErrorDetails) -> bool:
    return one["loc"][: len(other["loc"])] == other["loc"]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors and `appliance config schema`."""
    schema = Settings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Configuration of the appliance"
    return schema


def _override(document: dict[str, Any], environment: dict[str, str]) -> None:
    for variable, keys in ENVIRONMENT_OVERRIDES.items():
        if variable not in environment:
            continue
        section = document
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                break  # the schema's error names the key
        else:
            section[keys[-1]] = environment[variable]


def _anchored(settings: Settings, path: Path) -> Settings:
    base = path.resolve().parent
    models = settings.models.model_copy(
        update={"catalog": _below(base, settings.models.catalog), "store": _below(base, settings.models.store)}
    )
    issuers = tuple(_anchored_paths(base, issuer, "jwks_file", "ca_file") for issuer in settings.access.issuers)
    access = settings.access.model_copy(update={"issuers": issuers})
    server = settings.server
    if server.tls is not None:
        tls = _anchored_paths(base, server.tls, "cert_file", "key_file", "client_ca_file")
        server = server.model_copy(update={"tls": tls})
    anchored = settings.model_copy(update={"models": models, "access": access, "server": server})
    anchored._source = str(path)
    return anchored


def _anchored_paths(base: Path, section: S, *names: str) -> S:
    given = {name: path for name in names if (path := getattr(section, name)) is not None}
    return section.model_copy(update={name: _below(base, path) for name, path in given.items()})


def _below(base: Path, path: Path) -> Path:
    """`path` from `base` on, without `..` in it, so that messages can be read. Links stay as they are."""
    return Path(os.path.normpath(base / path))
