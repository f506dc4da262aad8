"""The configuration reference as Markdown, made from the JSON Schema so that it can't differ from the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """# Configuration

Made by `make config-docs` from the schema of `appliance/config/`; a test keeps it true. Examples:
`config/starter.yaml` (the embedded default), `config/examples/`. `appliance config check FILE` checks a file of yours,
`docs/config.schema.json` lets an editor do so while you type.

Relative paths: `models.catalog` and `models.store` are taken from the file's own directory, `data_dir` and
`engines.python` from the working directory, `server.api_key_file` and `ledger.file` from `data_dir`.
"""


def reference(schema: Mapping[str, Any], environment: Mapping[str, tuple[str, ...]]) -> str:
    """One section per object of the schema, top level first; then the environment variables that win over the file."""
    parts = [_HEAD, *_sections(schema)]
    parts.append("## Environment\n\n| variable | key |\n| --- | --- |")
    parts += [f"| `{variable}` | `{'.'.join(keys)}` |" for variable, keys in environment.items()]
    return "\n".join(parts) + "\n"


def _sections(schema: Mapping[str, Any]) -> Iterator[str]:
    definitions = schema["$defs"]
    yield _section("Top level", schema, definitions)
    for name, definition in definitions.items():
        yield _section(f"`{name}`", definition, definitions)


def _section(title: str, definition: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    required = definition.get("required", [])
    rows = [_row(key, value, key in required, definitions) for key, value in definition["properties"].items()]
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {title}\n", f"{definition.get('description', '')}\n", *head, *rows, ""])


def _row(key: str, value: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]) -> str:
    """A section's own description stands in where the key has none of its own."""
    default = "**required**" if required else _default(value)
    section = definitions.get(value.get("$ref", "").rsplit("/", 1)[-1], {})
    meaning = " ".join((value.get("description") or section.get("description", "")).split()).replace("|", "\\|")
    return f"| `{key}` | {_type(value)}{_bounds(value)} | {default} | {meaning} |"


def _default(value: Mapping[str, Any]) -> str:
    if "default" not in value:
        return ""
    return f"`{json.dumps(value['default'])}`"


def _type(value: Mapping[str, Any]) -> str:
    """A type in words; objects of the schema link to their section."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[`{name}`](#{name.lower()})"
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        return " or ".join(_type(choice) for choice in value["anyOf"])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}))}"
    if value.get("type") == "object":
        return f"mapping to {_type(value.get('additionalProperties') or {})}"
    return str(value.get("format") or value.get("type") or "anything")


def _bounds(value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "minItems": "at least"}
    told = [f"{sign} {value[name]}" for name, sign in signs.items() if name in value]
    return f" ({', '.join(told)})" if told else ""
