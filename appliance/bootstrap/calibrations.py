"""What engines measured at their starts, kept in one file of the data directory for the next plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.bootstrap.data_dir import write_whole
from appliance.placement.calibration import Calibration, CalibrationKey

CALIBRATIONS_FILE = "calibrations.json"
_STARTS = TypeAdapter(tuple[Calibration, ...])


def calibrations_file(data_dir: Path) -> Path:
    """Where they are kept."""
    return data_dir / CALIBRATIONS_FILE


def read_calibrations(path: Path) -> Mapping[CalibrationKey, Calibration]:
    """All measured starts; none where there is no file, or none that this version can read: starts measure anew."""
    try:
        found = _STARTS.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}
    return {calibration.key: calibration for calibration in found}


def keep_calibration(path: Path, calibration: Calibration) -> None:
    """Add a start, in place of an earlier one with the same key. Blocks."""
    kept = {**read_calibrations(path), calibration.key: calibration}
    write_whole(path, _STARTS.dump_json(tuple(kept.values()), indent=2))
