"""What the gateway and the packs have alike: resources, where they may stand, how they scale and give way."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from appliance.chart.part import Labels, Name, Object, Part, Quantity


class Amounts(Part):
    """Amounts of a container."""

    cpu: Quantity = ""
    """Cores; empty: none are named."""
    memory: Quantity = ""
    """Bytes; empty: none are named."""
    ephemeral_storage: Quantity = Field("", alias="ephemeral-storage")
    """Bytes of the node's disk; empty: none are named."""


class Resources(Part):
    """What a container asks for, and the most that it gets."""

    requests: Amounts = Amounts()
    """What is kept for it."""
    limits: Amounts = Amounts()
    """The most that it gets. A limit of memory is always wanted."""


class Where(Part):
    """Where pods may stand, as a pod's specification has it."""

    node_selector: Labels = Field({})
    """Labels that the node must have."""
    tolerations: tuple[Object, ...] = ()
    """Taints that are tolerated."""
    affinity: Object = Field({})
    """Further wishes."""
    priority_class_name: Name = ""
    """Priority class; empty: the cluster's default."""
    runtime_class_name: Name = ""
    """Runtime class; empty: the cluster's default."""
    pod_annotations: Labels = Field({})
    """Further annotations of the pods."""
    pod_labels: Labels = Field({})
    """Further labels of the pods."""


class Claim(Part):
    """A volume that is kept."""

    enabled: bool = True
    """Off: an emptyDir, which goes with the pod."""
    storage_class: str = ""
    """Storage class; empty: the cluster's default."""
    size: Quantity = "10Gi"
    """Size; of an emptyDir the most that it may take."""


class Spread(Part):
    """How pods of one kind are spread."""

    topology_keys: tuple[str, ...] = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    """Labels of nodes over whose values they are spread evenly."""
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """What happens where that can't be had."""


class Scaling(Part):
    """Between which bounds, and by whom the number of pods is changed."""

    enabled: bool = False
    """Off: the number stays as it is given."""
    kind: Literal["hpa", "keda"] = "keda"
    """`keda` asks Prometheus itself; `hpa` needs an adapter that offers the metrics by pod (docs/helm.md)."""
    min_replicas: int = Field(1, ge=1)
    """Fewest pods."""
    max_replicas: int = Field(4, ge=1)
    """Most pods."""
    stabilization_seconds: int = Field(300, ge=0, le=3600)
    """Pods are taken away only after the need was smaller for so long."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("minReplicas is more than maxReplicas; lower it")
        return self
