"""The plan that runs, as a file in the data directory, and what its engines hold of each GPU."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance.bootstrap.data_dir import read_running, write_whole
from appliance.config import describe
from appliance.domain.gpu import Gpu
from appliance.domain.placement import PlacementPlan
from appliance.errors import ConfigError, NotRunning

PLAN_FILE = "plan.json"


def plan_json(plan: PlacementPlan) -> str:
    """As `appliance plan --json` prints it, and as it is kept."""
    return json.dumps(asdict(plan), indent=2)


def write_plan(data_dir: Path, plan: PlacementPlan) -> None:
    """Keep the plan that runs."""
    write_whole(data_dir / PLAN_FILE, plan_json(plan).encode() + b"\n")


def remove_plan(data_dir: Path) -> None:
    """Nothing runs by a plan any more."""
    (data_dir / PLAN_FILE).unlink(missing_ok=True)


def load_plan(path: Path) -> PlacementPlan:
    """A plan saved by `appliance plan --json`. Raises ConfigError."""
    try:
        return TypeAdapter(PlacementPlan).validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read: {error.strerror}; save a plan with `appliance plan --json`"
        ) from None
    except ValidationError as error:
        raise ConfigError(
            f"{path}: is no saved plan: {describe(error)}; save one with `appliance plan --json`"
        ) from None


def running_plan(data_dir: Path) -> PlacementPlan | None:
    """The plan that the appliance on this directory runs by; None when none runs, or it follows its pool."""
    if read_running(data_dir) is None or not (data_dir / PLAN_FILE).exists():
        return None
    return load_plan(data_dir / PLAN_FILE)


def require_running_plan(data_dir: Path) -> PlacementPlan:
    """Like `running_plan`, for those who asked for it. Raises NotRunning."""
    plan = running_plan(data_dir)
    if plan is None:
        raise NotRunning(
            f"no appliance that follows a plan is running on {data_dir}; start one with `appliance up`, "
            "or name a saved plan"
        )
    return plan


def others_bytes(gpu: Gpu, plan: PlacementPlan | None) -> int:
    """What processes of others hold of a GPU.

    While `plan` runs, its engines' share can't be told from NVML's total: it is taken as what was booked for them, and
    at least what others held when that plan was made is theirs.
    """
    taken = gpu.total_bytes - gpu.free_bytes
    mine = [planned for planned in plan.gpus if planned.gpu_id == gpu.uuid] if plan is not None else []
    for planned in mine:
        assert plan is not None
        taken = max(planned.used_bytes, taken - plan.taken_bytes(planned.node, planned.gpu_id))
    return taken
