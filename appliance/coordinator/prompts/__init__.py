"""Reads the prompt sets beside this file, once, at start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.coordinator.prompt_set import (
    SPEECHLESS,
    AnswerForm,
    MessageTemplate,
    PlanFormat,
    PlanRepair,
    PromptSet,
    References,
)
from appliance.coordinator.prompts.template import PromptTemplate
from appliance.coordinator.quoting import quoted
from appliance.domain.model import Model, Role
from appliance.errors import ConfigError

SET_FILE = "set.yaml"


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: str
    template: str


class _SetFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer_separator: str | None = Field(None, min_length=1)
    plan_repair: PlanRepair = PlanRepair.SHOW_ERROR
    plan_format: PlanFormat = PlanFormat.JSON_SCHEMA
    answer_form: AnswerForm = AnswerForm.WHOLE
    references: References = References.NAMED
    messages: dict[Role, list[_Message]]
    params: dict[Role, dict[str, Any]] = Field(default_factory=dict)
    judges: frozenset[str] | None = None
    verdict_reason: bool = False


def available(root: Traversable | None = None) -> tuple[str, ...]:
    """Names of the sets below `root` (this package by default)."""
    root = root or files(__package__)
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and (entry / SET_FILE).is_file()))


def load_prompt_sets(names: Iterable[str], root: Traversable | None = None) -> Mapping[str, PromptSet]:
    """Name → set, each read and compiled. Raises ConfigError that names the file."""
    root = root or files(__package__)
    return {name: _load(name, root) for name in sorted(set(names))}


def prompt_sets_of(models: Mapping[str, Model]) -> Mapping[str, PromptSet]:
    """Model id → the set that it understands."""
    sets = {"": SPEECHLESS, **load_prompt_sets(model.prompt_set for model in models.values() if model.prompt_set)}
    return {model_id: sets[model.prompt_set] for model_id, model in models.items()}


def _load(name: str, root: Traversable) -> PromptSet:
    if name not in available(root):
        raise ConfigError(f"prompt set {name}: there is none of this name; known: {', '.join(available(root))}")
    directory = root / name
    try:
        content = _SetFile.model_validate(yaml.safe_load((directory / SET_FILE).read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"prompt set {name}: {SET_FILE}: {' '.join(str(error).split())}") from None
    environment = _environment()
    return PromptSet(
        name=name,
        messages={
            role: tuple(_compiled(environment, directory / message.template, message.role) for message in messages)
            for role, messages in content.messages.items()
        },
        answer_separator=content.answer_separator,
        plan_repair=content.plan_repair,
        plan_format=content.plan_format,
        params=content.params,
        answer_form=content.answer_form,
        references=content.references,
        judges=content.judges,
        verdict_reason=content.verdict_reason,
        verifier_digest=_verifier_digest(directory, content),
    )


def _verifier_digest(directory: Traversable, content: _SetFile) -> str:
    """SHA-256 (hex) over all that a verifier's call and the reading of its verdict depend on."""
    templates = [
        (message.role, (directory / message.template).read_text(encoding="utf-8"))
        for message in content.messages.get(Role.VERIFIER, ())
    ]
    read_by = (content.params.get(Role.VERIFIER), content.answer_separator, content.verdict_reason)
    return hashlib.sha256(json.dumps((templates, read_by), sort_keys=True).encode()).hexdigest()


def _compiled(environment: Environment, file: Traversable, role: str) -> MessageTemplate:
    try:
        return MessageTemplate(role, PromptTemplate(environment, file.read_text(encoding="utf-8")))
    except (OSError, TemplateError) as error:
        raise ConfigError(f"prompt template {file}: {error}") from None


def _environment() -> Environment:
    environment = Environment(
        loader=BaseLoader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  prompts are not HTML
    )
    environment.filters["quoted"] = quoted
    return environment
