"""Whether a GPU can be worked with: what NVML keeps of its errors until it is reset.

NVML does not keep Xid numbers; what they lead to stands in the recovery action, in memory rows and pages that wait for
a reset, and in the count of uncorrectable errors. NVIDIA's own health checks (DCGM) judge by the same facts.
"""

from __future__ import annotations

from typing import Any

import pynvml

from appliance.inventory.nvml_call import known

RESET = "reset it with `nvidia-smi --gpu-reset`"
ACTIONS = {
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: f"its driver asks for a reset; {RESET}",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "its driver asks for a restart of the machine",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: "its driver asks that work with other GPUs ends; then it needs a reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: f"its driver asks that all work on it ends, then {RESET}",
}


def health_problem(handle: Any) -> str:
    """Why no engine should be put on a GPU, with the way out; empty where nothing is known against it.

    Raises NVMLError where the GPU does not answer.
    """
    return _recovery(handle) or _rows(handle) or _pages(handle) or _errors(handle)


def _recovery(handle: Any) -> str:
    values = known(pynvml.nvmlDeviceGetFieldValues, handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return ""
    action = int(values[0].value.uiVal)
    if action == pynvml.NVML_GPU_RECOVERY_ACTION_NONE:
        return ""
    return ACTIONS.get(action, f"its driver asks for recovery action {action}; see `nvidia-smi -q`")


def _rows(handle: Any) -> str:
    """Ampere and later remap rows of memory; a remap takes place at the next reset."""
    rows = known(pynvml.nvmlDeviceGetRemappedRows, handle)
    if rows is None:
        return ""
    _, _, pending, failed = rows
    if failed:
        return "remapping a bad row of its memory has failed; it should be replaced"
    return f"a bad row of its memory waits to be remapped; {RESET}" if pending else ""


def _pages(handle: Any) -> str:
    """Cards before Ampere retire pages of memory; at the next reset."""
    pending = known(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, handle)
    return f"a bad page of its memory waits to be retired; {RESET}" if pending else ""


def _errors(handle: Any) -> str:
    kinds = (pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC)
    count = known(pynvml.nvmlDeviceGetTotalEccErrors, handle, *kinds)
    return f"it had {count} uncorrectable memory errors since its last reset; {RESET}" if count else ""
