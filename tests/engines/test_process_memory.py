"""Memory of process groups: real processes, and NVML with its functions replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from appliance.engines import process_memory
from appliance.engines.process_memory import group_gpu_bytes, group_pss_bytes


def test_a_group_is_added_up_and_a_gone_one_is_unknown() -> None:
    code = "import sys; kept = bytearray(64 << 20); print(len(kept), flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"67108864\n"
        found = group_pss_bytes(child.pid)
    assert found is not None
    assert 64 << 20 < found < 256 << 20
    assert group_pss_bytes(child.pid) is None


def nvml(monkeypatch: pytest.MonkeyPatch, on_gpus: dict[str, list[tuple[int, int | None]]]) -> None:
    """An NVML that knows `on_gpus`: UUID → processes and their bytes."""

    def handle(uuid: str) -> str:
        if uuid not in on_gpus:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def processes(uuid: str) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in on_gpus[uuid]]

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", processes)
    monkeypatch.setattr(process_memory, "group_members", lambda pgid: (pgid, pgid + 1, pgid + 2))


def test_the_fullest_gpu_of_a_group_counts_and_strangers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, {"GPU-a": [(10, 100), (11, 5), (99, 7000)], "GPU-b": [(12, 120), (99, 1)]})
    assert group_gpu_bytes(10, ("GPU-a",)) == 105
    assert group_gpu_bytes(10, ("GPU-a", "GPU-b")) == 120


@pytest.mark.parametrize(
    "on_gpus", [{}, {"GPU-a": []}, {"GPU-a": [(99, 7000)]}, {"GPU-a": [(10, 100), (11, None)]}], ids=str
)
def test_what_nvml_does_not_tell_is_unknown(
    monkeypatch: pytest.MonkeyPatch, on_gpus: dict[str, list[tuple[int, int | None]]]
) -> None:
    nvml(monkeypatch, on_gpus)
    assert group_gpu_bytes(10, ("GPU-a",)) is None


def test_without_a_driver_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert group_gpu_bytes(os.getpid(), ("GPU-a",)) is None
