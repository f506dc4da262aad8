"""Ways to run each model in each kind of slot: bytes from the memory model, rate from the roofline, KV in levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from appliance.domain import engine_args
from appliance.domain.demand import RoleDemand
from appliance.domain.geometry import Attention, Geometry, LatentAttention
from appliance.domain.gpu import Card
from appliance.placement.calibration import CalibrationKey, calibration_key
from appliance.placement.devices import Floor, SlotKind
from appliance.placement.engine_shape import EngineShape
from appliance.placement.memory import EngineMemory, engine_memory
from appliance.placement.packing import Shape
from appliance.placement.problem import Problem, Wanted
from appliance.placement.throughput import Pace, pace, speed_of

SEQUENCES = (1, 4, 16, 48, 128, 256)
"""Batches that KV levels are made for, where the engine's `max_num_seqs` allows."""
WORTH = 1.04
"""A level that is not faster by this factor than the one before is left out."""
SLEEP_MARGIN_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Candidate:
    """An engine of `wanted` in a kind of slot: its memory and its pace."""

    wanted: Wanted
    kind: SlotKind
    memory: EngineMemory
    pace: Pace
    calls: tuple[RoleDemand, ...]

    @property
    def call_tokens(self) -> int:
        """Tokens of an average call, prompt and completion; the whole length where nothing is known."""
        calls = sum(call.calls for call in self.calls)
        if not calls:
            return self.memory.max_model_len
        tokens = sum(call.calls * (call.prompt_tokens + call.completion_tokens) for call in self.calls)
        return min(self.memory.max_model_len, max(1, round(tokens / calls)))

    def sequences(self, kv_bytes: int) -> int:
        """Average calls that a KV cache holds at once, at most `max_num_seqs`, at least one."""
        layout, step = self.memory.layout, 2 * self.memory.step_tokens
        each = layout.request_blocks(self.call_tokens, step) * layout.bytes_per_block
        return max(1, min(self.wanted.max_num_seqs, int(kv_bytes / max(1, each))))

    def kv_bytes(self, sequences: int) -> int:
        """KV cache for so many average calls at once, never less than one call of the full length."""
        layout, step = self.memory.layout, 2 * self.memory.step_tokens
        wanted = (layout.request_blocks(self.call_tokens, step) * sequences + 1) * layout.bytes_per_block
        return max(self.least_kv_bytes, wanted)

    @property
    def least_kv_bytes(self) -> int:
        """The smallest KV cache that the engine starts with, or that is asked for."""
        return max(self.memory.smallest_kv_bytes, self.wanted.least_kv_bytes)

    def rate(self, kv_bytes: int) -> float | None:
        """Whole requests per second with the devices for itself; None where nothing calls the model."""
        if not self.calls:
            return None
        sequences = self.sequences(kv_bytes)
        return 1 / sum(call.calls * self.pace.call_s(call, sequences) for call in self.calls)

    @property
    def asleep_bytes(self) -> int:
        """What stays on a device: context, communication and graphs (sleep level 1)."""
        overhead = self.memory.overhead
        stays = overhead.graphs_bytes + overhead.non_torch_bytes + self.memory.promised_graphs_bytes
        return self.memory.promised_baseline_bytes + stays + SLEEP_MARGIN_BYTES


def candidates(
    problem: Problem, floor: Floor, calls: Mapping[str, tuple[RoleDemand, ...]]
) -> dict[tuple[int, int], Candidate]:
    """By (model, kind of slot), both as indices: every kind that a model can run in, whatever its size."""
    found = {
        (index, number): candidate(problem, wanted, kind, calls.get(wanted.model_id, ()))
        for index, wanted in enumerate(problem.models)
        for number, kind in enumerate(floor.kinds)
    }
    return {key: value for key, value in found.items() if value is not None}


def candidate(problem: Problem, wanted: Wanted, kind: SlotKind, calls: tuple[RoleDemand, ...]) -> Candidate | None:
    """None where the model can't run there at all: licence, data class, ranks, or no geometry."""
    geometry, constraints = wanted.model.geometry, problem.constraints
    node = kind.device.node
    if geometry is None or kind.size not in wanted.tensor_parallel_sizes or not _divides(geometry, kind.size):
        return None
    if constraints.licences and wanted.model.licence not in constraints.licences:
        return None
    if wanted.data_class and wanted.data_class not in node.data_classes:
        return None
    card, shape = kind.device.card, shape_of(problem, wanted, kind.size)
    try:
        memory = engine_memory(
            geometry, shape, card, calibration=problem.calibrations.get(key_of(problem, wanted, kind.size, card))
        )
    except ValueError:
        return None
    speed = speed_of(kind.device.accelerator)
    token_bytes = memory.layout.bytes_per_token
    rate = pace(geometry, memory.weights_bytes, token_bytes, speed, kind.size, nvlink=kind.nvlink)
    return Candidate(wanted, kind, memory, rate, calls)


def shape_of(problem: Problem, wanted: Wanted, ranks: int) -> EngineShape:
    """The engine as the memory model wants it."""
    return EngineShape(
        max_model_len=wanted.max_model_len,
        tensor_parallel_size=ranks,
        max_num_seqs=wanted.max_num_seqs,
        max_num_batched_tokens=wanted.max_num_batched_tokens,
        quantization=wanted.weights_format,
        kv_cache_dtype=engine_args.kv_cache_dtype(wanted.extra_args),
        dtype_bytes=wanted.dtype_bytes,
        enforce_eager=wanted.enforce_eager,
        vllm_version=problem.vllm_version,
    )


def key_of(problem: Problem, wanted: Wanted, ranks: int, card: Card) -> CalibrationKey:
    """What an earlier start must have been for its measurements to be believed here."""
    shape = shape_of(problem, wanted, ranks)
    return calibration_key(wanted.model_id, wanted.model.revision, shape, card, wanted.extra_args)


def shapes(model: int, found: Candidate, kind: int, room_bytes: int) -> Iterator[Shape]:
    """Levels of KV cache that fit `room_bytes`, each worth its bytes, and one that fills the device."""
    last = 0.0
    for level, kv_bytes in enumerate(_levels(found, room_bytes)):
        needed = found.memory.total_bytes(kv_bytes)
        rate = found.rate(kv_bytes)
        if needed > room_bytes or (level and rate is not None and rate < last * WORTH):
            continue
        last = rate or 0.0
        yield Shape(
            model=model,
            kind=kind,
            level=level,
            bytes=needed,
            rate=rate,
            concurrency=kv_bytes / found.memory.smallest_kv_bytes,
            asleep_bytes=found.asleep_bytes if found.wanted.may_sleep else None,
            host_bytes=found.memory.weights_bytes * found.kind.size,
        )


def kv_of(found: Candidate, shape: Shape) -> int:
    """The KV cache of a shape: what its bytes hold beside the rest."""
    return shape.bytes - found.memory.total_bytes(0)


def _levels(found: Candidate, room_bytes: int) -> Iterable[int]:
    """The smallest; one for each batch; the largest that is of use. Growing."""
    largest = min(room_bytes - found.memory.total_bytes(0), found.kv_bytes(found.wanted.max_num_seqs))
    levels = {found.least_kv_bytes, max(found.least_kv_bytes, largest)}
    if found.calls:
        levels |= {found.kv_bytes(sequences) for sequences in SEQUENCES if sequences <= found.wanted.max_num_seqs}
    else:
        levels |= {4 * found.memory.smallest_kv_bytes}
    return sorted(levels)


def _divides(geometry: Geometry, ranks: int) -> bool:
    """vLLM wants the attention heads divisible by the ranks (vllm/config/model.py, verify_with_parallel_config)."""
    heads = {group.mixer.heads for group in geometry.groups if isinstance(group.mixer, Attention | LatentAttention)}
    return all(count % ranks == 0 for count in heads)
