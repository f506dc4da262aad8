"""Starts the fake vLLM process where the launcher would start vLLM."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.domain.engine import Device, EngineSpec
from appliance.engines.command import EngineCommand
from appliance.engines.ports import PortClaim, claim_ports

ROOT = Path(__file__).resolve().parents[2]
_HELD: list[PortClaim] = []
"""Until the test process ends, so that no other one takes the ports of engines that are still to start."""


def fake_commands(*options: str) -> Callable[[EngineSpec, str], EngineCommand]:
    """A command builder for `ProcessLauncher`; `options` are those of `fake_vllm_process`, as is spec.extra_args."""

    def command(spec: EngineSpec, api_key: str) -> EngineCommand:
        argv = ("-m", "tests.fakes.fake_vllm_process", "--port", str(spec.port), "--model", spec.model_id)
        environment = {"PYTHONPATH": str(ROOT), "VLLM_API_KEY": api_key, "PATH": os.environ["PATH"]}
        return EngineCommand((sys.executable, *argv, *options, *spec.extra_args), environment)

    return command


def fake_specs(*model_ids: str, options: tuple[str, ...] = ()) -> tuple[EngineSpec, ...]:
    """One CPU engine per model, on free ports. Tests that run side by side look for ports in different places."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    claim = claim_ports(20_000 + 1_000 * worker + os.getpid() % 900, len(model_ids))
    _HELD.append(claim)
    return tuple(
        EngineSpec(
            engine_id=f"{model_id}-0",
            model_id=model_id,
            model_path=Path("/nowhere"),
            device=Device.CPU,
            port=port,
            max_model_len=512,
            max_num_seqs=4,
            max_num_batched_tokens=512,
            kv_cache_memory_bytes=8 << 20,
            extra_args=options,
        )
        for model_id, port in zip(model_ids, claim.ports, strict=True)
    )
