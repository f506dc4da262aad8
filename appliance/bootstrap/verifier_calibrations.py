"""The verifiers' calibrations, kept in one file of the data directory, and what of them counts today."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter

from appliance.bootstrap.kept_file import KeptFile
from appliance.coordinator.prompt_set import PromptSet
from appliance.domain.model import Model
from appliance.evaluation.calibration import KeptCalibration, thresholds

FILE = "verifier-calibrations.json"
_KEPT = KeptFile(
    TypeAdapter(tuple[KeptCalibration, ...]),
    lambda one: one.key,
    "the verifiers' calibrations",
    "appliance eval calibrate",
)
logger = logging.getLogger(__name__)


def verifier_calibrations_file(data_dir: Path) -> Path:
    """Where they are kept."""
    return data_dir / FILE


def read_verifier_calibrations(path: Path) -> tuple[KeptCalibration, ...]:
    """All of them; none where there is no file. Raises ConfigError for one that can't be read: thresholds are not to
    change unseen."""
    return _KEPT.read(path)


def keep_verifier_calibrations(path: Path, made: Iterable[KeptCalibration]) -> None:
    """Add some, each in place of an earlier one for the same verifier, class, revision and prompts. Blocks."""
    _KEPT.keep(path, made)


def revisions(models: Mapping[str, Model], prompt_sets: Mapping[str, PromptSet]) -> Mapping[str, tuple[str, str]]:
    """What a calibration of each model holds for: its revision and the digest of the verifier's prompt."""
    return {model_id: (model.revision, prompt_sets[model_id].verifier_digest) for model_id, model in models.items()}


def measured_thresholds(
    data_dir: Path, models: Mapping[str, Model], prompt_sets: Mapping[str, PromptSet]
) -> Mapping[tuple[str, str], float]:
    """The thresholds by verifier and task class that count today; those that do not are named in the log."""
    kept = read_verifier_calibrations(verifier_calibrations_file(data_dir))
    found = thresholds(kept, revisions(models, prompt_sets))
    for note in found.notes:
        logger.warning("calibration ignored: %s", note)
    return found.values
