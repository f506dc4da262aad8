"""NVML's answers: a fact, "unknown" where the card or the driver does not tell it, or a failure in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml

UNKNOWN = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_CORRUPTED_INFOROM,
        pynvml.NVML_ERROR_DEPRECATED,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_VGPU_ECC_NOT_SUPPORTED,
    }
)
"""Errors that speak of the question: this card, driver or caller does not get the fact. All others speak of the GPU."""

WORDS = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "it has fallen off the bus (GPU is lost); see `dmesg | grep -i xid`, reset it with "
    "`nvidia-smi --gpu-reset`, or restart the machine",
    pynvml.NVML_ERROR_RESET_REQUIRED: "it needs a reset (`nvidia-smi --gpu-reset`)",
    pynvml.NVML_ERROR_NO_PERMISSION: "this user may not use it; check the rights of /dev/nvidia*",
    pynvml.NVML_ERROR_INSUFFICIENT_POWER: "its power cables are not connected",
    pynvml.NVML_ERROR_IRQ_ISSUE: "the kernel has a problem with its interrupts",
}


def known(call: Callable[..., Any], *arguments: object) -> Any:
    """What `call` answers; None where it is unknown. Raises NVMLError where the GPU fails."""
    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        if error.value in UNKNOWN:
            return None
        raise


def words(error: pynvml.NVMLError) -> str:
    """What a failing GPU says, with the way out where there is one."""
    return WORDS.get(error.value, f"it does not answer (NVML: {str(error).rstrip('.')})")


def text(value: str | bytes) -> str:
    """Names are bytes in some versions of pynvml, and text in others."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
