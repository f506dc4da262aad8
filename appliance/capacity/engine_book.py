"""What an engine of a plan costs: as a profile measured it on this kind of GPU, else by the roofline. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.hardware import GpuKind
from appliance.capacity.profile import Profile
from appliance.capacity.roofline import Build, roofline
from appliance.domain.gpu import Card
from appliance.domain.placement import PlannedEngine
from appliance.errors import ConfigError
from appliance.placement.candidates import key_of, shape_of
from appliance.placement.memory import engine_memory
from appliance.placement.problem import Problem, Wanted
from appliance.placement.throughput import Speed


@dataclass(frozen=True, slots=True)
class EngineBook:
    """`profile` is what was measured, if anything was."""

    profile: Profile | None = None

    def of(self, problem: Problem, wanted: Wanted, engine: PlannedEngine, kind: GpuKind) -> EngineProfile:
        """One engine. Raises ConfigError for a model of another revision than was measured, or of no known shape."""
        measured = self._measured(wanted, engine, kind)
        if measured is not None:
            return measured
        model, ranks = wanted.model, engine.tensor_parallel_size
        if model.geometry is None:
            raise ConfigError(
                f"no profile for {model.model_id} on {kind.kind}, and its manifest has no `config` to reckon one from; "
                "run `appliance capacity profile`, or complete the manifest"
            )
        card = Card(kind.name, int(kind.memory_bytes.value))
        calibration = problem.calibrations.get(key_of(problem, wanted, ranks, card))
        memory = engine_memory(model.geometry, shape_of(problem, wanted, ranks), card, calibration=calibration)
        build = Build(
            hardware=kind.kind,
            speed=Speed(kind.bandwidth_bytes_s.value, kind.flops_16.value),
            tensor_parallel_size=ranks,
            nvlink=kind.nvlink.value >= ranks,
            kv_bytes=engine.kv_cache_memory_bytes,
            max_num_seqs=engine.max_num_seqs,
            max_num_batched_tokens=engine.max_num_batched_tokens,
            vllm_version=problem.vllm_version,
        )
        return roofline(model, memory, build)

    def _measured(self, wanted: Wanted, engine: PlannedEngine, kind: GpuKind) -> EngineProfile | None:
        if self.profile is None:
            return None
        for found in self.profile.engines:
            if found.model_id != wanted.model_id or found.tensor_parallel_size != engine.tensor_parallel_size:
                continue
            if found.hardware not in (kind.kind, kind.name):
                continue
            if found.revision and found.revision != wanted.model.revision:
                raise ConfigError(
                    f"{wanted.model_id} was profiled at revision {found.revision}, and the catalog has "
                    f"{wanted.model.revision}; profile it again"
                )
            return found
        return None
