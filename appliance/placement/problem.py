"""What the solver is asked: nodes, models, roles, demand and constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.domain import engine_args
from appliance.domain.demand import Demand
from appliance.domain.model import Model
from appliance.domain.node import Node
from appliance.domain.placement import PlacementPlan
from appliance.placement.calibration import Calibration, CalibrationKey
from appliance.placement.engine_shape import DEFAULT_VLLM_VERSION

DEFAULT_RESERVE_BYTES = 256 * 2**20
ALL_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model of the pool, the options of its engines under vLLM's names, and where it may go.

    `gpus` and `nodes` pin it: (node, GPU id) pairs and node names; empty: anywhere. `least_kv_bytes` is the smallest KV
    cache per GPU. With `replicas_min` 0 the model is left out where not all fit. `may_sleep`: it may take turns.
    `extra_args` are vLLM's further options, of which a few change what the memory model reckons.
    """

    model: Model
    max_model_len: int
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    least_kv_bytes: int = 0
    replicas_min: int = 1
    replicas_max: int = 64
    tensor_parallel_sizes: tuple[int, ...] = ALL_SIZES
    gpus: frozenset[tuple[str, str]] = frozenset()
    nodes: frozenset[str] = frozenset()
    data_class: str = ""
    may_sleep: bool = True
    quantization: str | None = None
    dtype_bytes: int = 2
    enforce_eager: bool = False
    extra_args: tuple[str, ...] = ()

    @property
    def model_id(self) -> str:
        """The model's id."""
        return self.model.model_id

    @property
    def weights_format(self) -> str | None:
        """The number format of the weights in memory; None: the model's own."""
        return self.quantization or engine_args.online_quantization(self.extra_args) or self.model.quantization


@dataclass(frozen=True, slots=True)
class Constraints:
    """`licences` empty: any. `forbidden` pairs may not share a GPU. `different_families` are pairs of roles."""

    licences: frozenset[str] = frozenset()
    forbidden: tuple[tuple[str, str], ...] = ()
    reserve_bytes: int = DEFAULT_RESERVE_BYTES
    turns: bool = True
    different_families: tuple[tuple[str, str], ...] = (("planner", "verifier"),)


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything. `roles` maps a role key to its models in order of preference; each of them must be covered."""

    nodes: tuple[Node, ...]
    models: tuple[Wanted, ...]
    roles: Mapping[str, tuple[str, ...]]
    demand: Demand = field(default_factory=Demand)
    constraints: Constraints = field(default_factory=Constraints)
    running: PlacementPlan | None = None
    calibrations: Mapping[CalibrationKey, Calibration] = field(default_factory=dict)
    vllm_version: str = DEFAULT_VLLM_VERSION
