"""NVIDIA GPUs of this machine, through NVML."""

from __future__ import annotations

import pynvml

from appliance.domain.gpu import Gpu


def list_gpus() -> tuple[Gpu, ...]:
    """GPUs in NVML's order; none where there is no driver. A GPU that does not answer is left out."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        found = (_gpu(index) for index in range(pynvml.nvmlDeviceGetCount()))
        return tuple(gpu for gpu in found if gpu is not None)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu | None:
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return None
    return Gpu(index, _text(uuid), _text(name), int(memory.total), int(memory.free))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
