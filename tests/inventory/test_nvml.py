"""GPUs through pynvml, with its functions replaced where no driver is."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from appliance.domain.gpu import Gpu
from appliance.inventory.nvml import list_gpus


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert list_gpus() == ()


def test_a_gpu_that_does_not_answer_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(index: int) -> int:
        if index == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    shut: list[bool] = []
    replaced = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: shut.append(True),
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(total=48, free=40 + h),
        "nvmlDeviceGetUUID": lambda h: f"GPU-{h}",
        "nvmlDeviceGetName": lambda h: b"L40S",
    }
    for name, function in replaced.items():
        monkeypatch.setattr(pynvml, name, function)
    assert list_gpus() == (Gpu(0, "GPU-0", "L40S", 48, 40), Gpu(2, "GPU-2", "L40S", 48, 42))
    assert shut == [True]
