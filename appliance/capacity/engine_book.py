"""What an engine of a plan costs: as a profile measured it on this kind of GPU, else by the roofline. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.hardware import GpuKind, nodes_of
from appliance.capacity.profile import Profile
from appliance.capacity.roofline import Build, roofline
from appliance.errors import ConfigError
from appliance.placement.candidates import candidate
from appliance.placement.devices import Device, SlotKind
from appliance.placement.memory import EngineMemory
from appliance.placement.problem import Problem, Wanted
from appliance.placement.throughput import Speed


@dataclass(frozen=True, slots=True)
class EngineBook:
    """`profile` is what was measured, if anything was."""

    profile: Profile | None = None

    def of(self, problem: Problem, wanted: Wanted, kind: GpuKind, ranks: int, kv_bytes: int) -> EngineProfile:
        """An engine on `ranks` GPUs with so many bytes of KV cache on each.

        Raises ConfigError for a model of another revision than was measured, or of no known shape.
        """
        measured = self._measured(wanted, kind, ranks)
        if measured is not None:
            return measured
        memory = _memory(problem, wanted, kind, ranks)
        if memory is None:
            raise ConfigError(f"{wanted.model_id} can't be run on {ranks} of {kind.kind}; name another kind of GPU")
        build = Build(
            hardware=kind.kind,
            speed=Speed(kind.bandwidth_bytes_s.value, kind.flops_16.value),
            tensor_parallel_size=ranks,
            nvlink=kind.nvlink.value >= ranks,
            kv_bytes=kv_bytes,
            max_num_seqs=wanted.max_num_seqs,
            max_num_batched_tokens=wanted.max_num_batched_tokens,
            vllm_version=problem.vllm_version,
        )
        return roofline(wanted.model, memory, build)

    def by_itself(self, problem: Problem, wanted: Wanted, kind: GpuKind, ranks: int) -> EngineProfile | None:
        """An engine with `ranks` GPUs for itself alone; None where it does not fit, or may not be split so."""
        memory = _memory(problem, wanted, kind, ranks)
        if memory is None:
            return None
        room = int(kind.memory_bytes.value) - problem.constraints.reserve_bytes - memory.total_bytes(0)
        return None if room < memory.smallest_kv_bytes else self.of(problem, wanted, kind, ranks, room)

    def _measured(self, wanted: Wanted, kind: GpuKind, ranks: int) -> EngineProfile | None:
        for found in () if self.profile is None else self.profile.engines:
            here = found.hardware in (kind.kind, kind.name) and found.tensor_parallel_size == ranks
            if found.model_id != wanted.model_id or not here:
                continue
            if found.revision and found.revision != wanted.model.revision:
                raise ConfigError(
                    f"{wanted.model_id} was profiled at revision {found.revision}, and the catalog has "
                    f"{wanted.model.revision}; profile it again"
                )
            return found
        return None


def _memory(problem: Problem, wanted: Wanted, kind: GpuKind, ranks: int) -> EngineMemory | None:
    """As the solver reckons it; None where it would not put the model there. Raises ConfigError for no known shape."""
    if wanted.model.geometry is None:
        raise ConfigError(
            f"no profile for {wanted.model_id} on {kind.kind}, and its manifest has no `config` to reckon one from; "
            "run `appliance capacity profile`, or complete the manifest"
        )
    (node,) = nodes_of(kind, 1)
    node = replace(node, data_classes=frozenset(filter(None, (wanted.data_class,))))
    device = Device(node, node.accelerators[0], node.accelerators[0].total_bytes)
    found = candidate(problem, wanted, SlotKind(device, ranks, kind.nvlink.value >= ranks), ())
    return None if found is None else found.memory
