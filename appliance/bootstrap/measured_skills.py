"""Skills of models as they were measured here, kept in one file of the data directory; they stand over priors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from appliance.bootstrap.kept_file import KeptFile
from appliance.domain.model import Model
from appliance.evaluation.skills import MeasuredSkill

FILE = "measured-skills.json"
_KEPT = KeptFile(
    TypeAdapter(tuple[MeasuredSkill, ...]), lambda one: one.key, "the measured skills", "appliance models onboard"
)


def measured_skills_file(data_dir: Path) -> Path:
    """Where they are kept."""
    return data_dir / FILE


def read_measured_skills(path: Path) -> tuple[MeasuredSkill, ...]:
    """All of them; none where there is no file. Raises ConfigError for one that can't be read."""
    return _KEPT.read(path)


def keep_measured_skills(path: Path, made: Iterable[MeasuredSkill]) -> None:
    """Add some, each in place of an earlier one of the same model, revision, prompts and skill. Blocks."""
    _KEPT.keep(path, made)


def with_measured_skills(models: Mapping[str, Model], data_dir: Path) -> dict[str, Model]:
    """The models, each with what was measured of this revision of it in place of the priors of its manifest."""
    kept = read_measured_skills(measured_skills_file(data_dir))
    found = dict(models)
    for model_id, model in models.items():
        own = {
            one.skill: one.share.value
            for one in kept
            if (one.model_id, one.revision, one.prompts) == (model_id, model.revision, model.prompt_set)
        }
        if own:
            found[model_id] = replace(model, skills={**model.skills, **own})
    return found
