"""A machine with GPUs for the tests: the fake pool with weights that say their shape, and NVML replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.config import Settings, load
from appliance.domain.gpu import Gpu
from tests.cli.pool import Pool, make_pool

GIB = 2**30
L4 = Gpu(0, "GPU-11111111-aaaa", "NVIDIA L4", round(22.5 * GIB), round(22.3 * GIB))
SECOND = Gpu(1, "GPU-22222222-bbbb", "NVIDIA L4", round(22.5 * GIB), round(22.3 * GIB))


def gpu_pool(directory: Path, monkeypatch: pytest.MonkeyPatch, gpus: tuple[Gpu, ...] = (L4,)) -> Pool:
    """The fake pool on a machine with `gpus`."""
    monkeypatch.setattr("appliance.bootstrap.site.scan_gpus", lambda: gpus)
    monkeypatch.setattr("appliance.bootstrap.lineup.list_gpus", lambda: gpus)
    pool = make_pool(directory)
    pool.settings["engines"]["device"] = "auto"
    return pool


def settings_of(pool: Pool, **sections: Any) -> Settings:
    """The pool's settings with other sections."""
    pool.settings |= sections
    pool.write()
    return load(pool.config, {})
