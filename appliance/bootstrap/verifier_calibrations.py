"""The verifiers' calibrations, kept in one file of the data directory, and what of them counts today."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.bootstrap.data_dir import write_whole
from appliance.coordinator.prompt_set import PromptSet
from appliance.domain.model import Model
from appliance.errors import ConfigError
from appliance.evaluation.calibration import KeptCalibration, thresholds

FILE = "verifier-calibrations.json"
_KEPT = TypeAdapter(tuple[KeptCalibration, ...])
logger = logging.getLogger(__name__)


def verifier_calibrations_file(data_dir: Path) -> Path:
    """Where they are kept."""
    return data_dir / FILE


def read_verifier_calibrations(path: Path) -> tuple[KeptCalibration, ...]:
    """All of them; none where there is no file. Raises ConfigError for one that can't be read: thresholds are not to
    change unseen."""
    try:
        return _KEPT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError):
        raise ConfigError(
            f"{path}: the verifiers' calibrations can't be read; make them anew with `appliance eval calibrate` after "
            "moving this file away"
        ) from None


def keep_verifier_calibrations(path: Path, made: Iterable[KeptCalibration]) -> None:
    """Add some, each in place of an earlier one for the same verifier, class, revision and prompts. Blocks."""
    kept = {found.key: found for found in (*read_verifier_calibrations(path), *made)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, _KEPT.dump_json(tuple(kept.values()), indent=2))
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}; set another data_dir") from None


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
