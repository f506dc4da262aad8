"""Labelled results from a JSONL file: one task, one result and whether it is right, a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.config import describe
from appliance.domain.identifier import Identifier
from appliance.errors import ConfigError

Words = Annotated[str, StringConstraints(min_length=1)]


class LabelledResult(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    skill: Identifier
    instruction: Words
    result: str
    right: bool
    question: str = ""
    inputs: dict[str, str] = Field(default_factory=dict)
    origin: str = ""
    """Where the result came from; for people."""


def read_labelled(path: Path) -> tuple[LabelledResult, ...]:
    """All lines of a set. Raises ConfigError, naming file and line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the labelled set can't be read: {error}") from None
    found = tuple(_read(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not found:
        raise ConfigError(f"{path}: holds no labelled results; a line is {{skill, instruction, result, right}}")
    return found


def _read(path: Path, number: int, line: str) -> LabelledResult:
    try:
        return LabelledResult.model_validate_json(line)
    except ValidationError as error:
        raise ConfigError(f"{path}: line {number}: {describe(error)}") from None
