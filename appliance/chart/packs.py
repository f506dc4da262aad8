"""The parts `engines`, `packs`, `turn_groups` and `groups`: what runs on which GPUs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from appliance.chart.part import Labels, Object, Part, Quantity
from appliance.chart.workload import Amounts, Claim, Resources, Scaling, Spread, Where
from appliance.config.section import Section
from appliance.domain.identifier import Identifier

PackName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=30)]
EngineId = Annotated[str, Field(min_length=1, max_length=128)]


class PackEngine(Section):
    """One engine of a pack, as `appliance plan --helm-values` writes it; names are vLLM's."""

    id: EngineId
    """Id within the pack."""
    model: Identifier
    """Model of the pool."""
    gpu_ids: tuple[str, ...] = Field(min_length=1)
    """GPUs of the pack on which it stands."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs over which it is divided."""
    kv_cache_memory_bytes: int = Field(ge=1_000_000)
    """Bytes of KV cache per GPU."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of the GPU's memory that must be free when it starts."""
    max_model_len: int = Field(ge=16)
    """Longest prompt and answer together, in tokens."""
    max_num_seqs: int = Field(ge=1)
    """Sequences in one batch."""
    max_num_batched_tokens: int = Field(ge=16)
    """Tokens in one step."""
    enable_sleep_mode: bool = False
    """It takes turns with others."""


class PackScaling(Section):
    """Replaces `engines.autoscaling` for one pack."""

    enabled: bool = True
    """Off: the number stays as it is given."""
    min_replicas: int = Field(1, ge=1)
    """Fewest pods."""
    max_replicas: int = Field(ge=1)
    """Most pods."""


class PackValues(Section):
    """The engines placed together on one node: one StatefulSet."""

    name: PackName
    """Name; `pack-0`, `pack-1`, … as the plan has it."""
    node: str = ""
    """Node of the plan. The pod is bound to the node of this host name where `engines.pinNodes` is on."""
    gpus: int = Field(0, ge=0)
    """GPUs of the pod; 0: none, vLLM's CPU build."""
    gpu_ids: tuple[str, ...] = ()
    """Their ids in the plan; the n-th is the n-th that the pod sees."""
    devices: dict[str, int] = Field({})
    """Resource → number, in place of `gpus` of `engines.gpuResource`: MIG instances and whole GPUs in one pod."""
    engines: tuple[PackEngine, ...] = ()
    """The plan's engines. Empty: the pod plans for the GPUs that it gets, or starts the pool as it stands on a CPU."""
    weights_bytes: int = Field(0, ge=0)
    """Bytes of weights that its engines read: how long it may take to start goes by them."""
    replicas: int = Field(1, ge=0)
    """Pods like this; each takes GPUs of its own."""
    autoscaling: PackScaling | None = None
    """Replaces `engines.autoscaling`."""
    node_selector: Labels = Field({})
    """Further labels that the node must have."""
    resources: Resources | None = None
    """Replaces `engines.resources`."""

    @model_validator(mode="after")
    def _devices_stand(self) -> Self:
        known = set(self.gpu_ids)
        for engine in self.engines:
            if missing := [gpu for gpu in engine.gpu_ids if gpu not in known]:
                raise ValueError(f"engine {engine.id} stands on {missing[0]}, which is not among gpu_ids; add it there")
        return self


class TurnGroup(Section):
    """Engines that share GPUs by sleep and wake."""

    name: str
    """Name."""
    engines: tuple[EngineId, ...]
    """Ids of engines of one pack."""


class GroupValues(Section):
    """A model larger than a node: a LeaderWorkerSet of pods, over whose GPUs one engine is divided."""

    name: PackName
    """Name."""
    model: Identifier
    """Model of the pool."""
    nodes: int = Field(ge=2)
    """Pods, each on a node of its own."""
    gpus_per_node: int = Field(ge=1)
    """GPUs of each pod."""
    tensor_parallel_size: int = Field(ge=1)
    """GPUs over which each layer is divided."""
    pipeline_parallel_size: int = Field(ge=1)
    """Stages into which the layers are divided."""
    kv_cache_memory_bytes: int = Field(ge=1_000_000)
    """Bytes of KV cache per GPU."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of each GPU's memory that must be free when it starts."""
    max_model_len: int = Field(4096, ge=16)
    """Longest prompt and answer together, in tokens."""
    max_num_seqs: int = Field(64, ge=1)
    """Sequences in one batch."""
    max_num_batched_tokens: int = Field(2048, ge=16)
    """Tokens in one step."""
    weights_bytes: int = Field(0, ge=0)
    """Bytes of weights that each pod reads: how long it may take to start goes by them."""
    node_selector: Labels = Field({})
    """Further labels that the nodes must have."""
    resources: Resources | None = None
    """Replaces `engines.resources`."""

    @model_validator(mode="after")
    def _all_gpus(self) -> Self:
        ranks, gpus = self.tensor_parallel_size * self.pipeline_parallel_size, self.nodes * self.gpus_per_node
        if ranks != gpus:
            raise ValueError(
                f"tensor_parallel_size × pipeline_parallel_size is {ranks}, but nodes × gpus_per_node is {gpus}; "
                "make them equal"
            )
        return self


class DraValues(Part):
    """GPUs by Dynamic Resource Allocation (resource.k8s.io/v1, Kubernetes 1.34 and newer) instead of by a resource."""

    enabled: bool = False
    """Use it; `packs[].devices` are not read then."""
    device_class_name: str = "gpu.nvidia.com"
    """Class of the devices; `mig.nvidia.com` for MIG instances."""
    selectors: tuple[str, ...] = ()
    """CEL expressions that a device must fulfil, as `device.attributes["gpu.nvidia.com"].profile == "3g.20gb"`."""


class EnginesScaling(Scaling):
    """When there are more pods of a pack; on waiting calls and KV use, never on the load of GPUs."""

    waiting_calls: int = Field(8, ge=1)
    """Calls that wait for a model of the pack, per pod, above which there should be another."""
    kv_usage: float = Field(0.85, gt=0, le=1)
    """Part of the KV cache in use above which there should be another pod."""


class EnginesValues(Where):
    """What holds for every pack."""

    pin_nodes: bool = True
    """Bind packs to the nodes of the plan (label `kubernetes.io/hostname`)."""
    gpu_resource: str = "nvidia.com/gpu"
    """Resource of a GPU."""
    dra: DraValues = DraValues()
    """GPUs by Dynamic Resource Allocation."""
    resources: Resources = Resources(
        requests=Amounts(cpu="4", memory="16Gi", **{"ephemeral-storage": "4Gi"}),
        limits=Amounts(cpu="32", memory="64Gi", **{"ephemeral-storage": "64Gi"}),
    )
    """What a pod with GPUs asks for, and the most that it gets. Turns keep sleeping weights in memory."""
    cpu_resources: Resources = Resources(
        requests=Amounts(cpu="2", memory="8Gi", **{"ephemeral-storage": "2Gi"}),
        limits=Amounts(cpu="8", memory="16Gi", **{"ephemeral-storage": "16Gi"}),
    )
    """The same of a pod without one."""
    shared_memory: Quantity = "8Gi"
    """Size of /dev/shm, over which the ranks of an engine talk; it counts as memory."""
    cache: Claim = Claim(enabled=False, size="20Gi")
    """The data directory with what vLLM compiles. Kept, the next start is shorter."""
    disk_bytes_per_second: int = Field(200_000_000, ge=1_000_000)
    """How fast weights can be read, at the slowest: a pod may take so much longer to start."""
    engine_start_seconds: int = Field(300, ge=10)
    """How long one engine may take to start, apart from reading its weights. Engines of a GPU start in turn."""
    autoscaling: EnginesScaling = EnginesScaling()
    """When there are more pods of a pack."""
    pod_disruption_budget: bool = True
    """Nodes are drained one pack at a time."""
    spread: Spread = Spread()
    """How pods of a pack with several replicas are spread."""
    pre_stop_seconds: int = Field(5, ge=0, le=300)
    """So long a pod that must go still takes calls, while the gateways learn of it."""
    extra_env: tuple[Object, ...] = ()
    """Further environment variables; CUDA_, NCCL_ and NVIDIA_ ones reach vLLM."""
