"""The part `config`: the settings without what the chart says itself."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from appliance.chart import places
from appliance.config import json_schema

SET_BY_CHART: Mapping[str, tuple[str, ...]] = {
    "": ("data_dir", "models", "cluster"),
    "server": ("host", "port", "api_key_file", "open_paths", "tls"),
    "access": ("pepper_file",),
    "engines": ("python", "first_port"),
    "ledger.audit": ("key_file",),
    "ledger": ("file", "url", "url_file", "journal_file"),
}
"""Section (empty: the top level) → keys that the chart sets, so that its values may not. Inner ones come first."""


def without_chart_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it may stand in values."""
    kept = deepcopy(dict(document))
    for section, keys in SET_BY_CHART.items():
        around: dict[str, Any] = kept
        owner: Any = kept
        name = ""
        for name in filter(None, section.split(".")):
            around, owner = owner, owner.get(name) if isinstance(owner, dict) else None
        if isinstance(owner, dict):
            for key in keys:
                owner.pop(key, None)
            if name and not owner:
                del around[name]
    return kept


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` and the least that the chart adds, to be checked as settings."""
    return {**config, "models": {"catalog": places.CATALOG, "store": places.STORE}}


def config_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings' JSON Schema without the chart's keys, and its definitions.

    `pool` and `roles` are not wanted by it, since no configuration at all stands for the starter pool; a template asks
    for them where there is one.
    """
    schema = json_schema()
    definitions = schema.pop("$defs")
    del schema["required"], schema["$schema"], schema["title"]
    for section, keys in SET_BY_CHART.items():
        owner = schema
        for name in filter(None, section.split(".")):
            owner = definitions[_definition(owner, name)]
        for key in keys:
            owner["properties"].pop(key, None)
        if "required" in owner:
            owner["required"] = [key for key in owner["required"] if key not in keys]
    return schema, _used(schema, definitions)


def _definition(schema: Mapping[str, Any], section: str) -> str:
    """The name of a section's definition."""
    reference: str = schema["properties"][section]["$ref"]
    return reference.rpartition("/")[2]


def _used(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The definitions that the schema leads to."""
    used: dict[str, Any] = {}
    waiting = [*_references(schema)]
    while waiting:
        if (name := waiting.pop()) not in used:
            used[name] = definitions[name]
            waiting += _references(definitions[name])
    return {name: used[name] for name in definitions if name in used}


def _references(part: object) -> list[str]:
    if isinstance(part, Mapping):
        own = [part["$ref"].rpartition("/")[2]] if isinstance(part.get("$ref"), str) else []
        return own + [name for value in part.values() for name in _references(value)]
    if isinstance(part, list):
        return [name for value in part for name in _references(value)]
    return []
