"""The section `cluster`: how gateways and packs find and trust each other where they run apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from appliance.config.section import Section
from appliance.config.telemetry import base_url

PackName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")]
"""As Kubernetes names pods."""


def _listed(value: object) -> object:
    """From the environment it comes with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class DoorSettings(Section):
    """The door of the pack that `appliance engines` runs."""

    name: PackName | None = None
    """Name of this pack; gateways call its engines NAME/ENGINE. Default: the host's name, in a pod the pod's."""
    host: str = "127.0.0.1"
    """Address that the door listens on; in a pod `0.0.0.0`."""
    port: int = Field(8090, ge=1, le=65535)
    """TCP port of the door."""
    engine_host: str = "127.0.0.1"
    """Address that the engines listen on and are reached at; in a pod its IP. They ask for their key, but on anything
    but loopback a NetworkPolicy should keep everyone but the gateways from their ports all the same."""
    node: str | None = None
    """Name of the node, for the policy of data. Default: as the plan calls it."""
    open_metrics: bool = False
    """Let everyone who reaches the door read /metrics; without it that needs the key of the pack."""


class GroupSettings(Section):
    """Several nodes that run one engine together, for a model that is larger than a node. A LeaderWorkerSet says all of
    it in the environment of its pods."""

    size: int = Field(1, ge=1, le=1024)
    """Nodes of the group; 1: there is none."""
    rank: int = Field(0, ge=0)
    """Which of them this is. Rank 0 has the door and answers requests; the others only compute."""
    leader: str | None = None
    """Address of rank 0."""
    port: int = Field(29500, ge=1, le=65535)
    """Port at rank 0 where the nodes meet."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.size > 1 and self.leader is None:
            raise ValueError("leader: a group of several nodes needs the address of its rank 0")
        if self.rank >= self.size:
            raise ValueError(f"rank: {self.rank} is not below size {self.size}")
        return self


class KubernetesSettings(Section):
    """Finding packs by EndpointSlices."""

    service: str | None = None
    """Name of a Service over all packs, best a headless one."""
    selector: str | None = None
    """Label selector of EndpointSlices, in place of `service`."""
    namespace: str | None = None
    """Where they are. Default: the pod's own namespace."""
    port_name: str = "door"
    """Name of the door's port in them."""
    service_account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Directory with the pod's `token`, `ca.crt` and `namespace`."""

    @property
    def wanted(self) -> str | None:
        """The label selector to ask for; None: Kubernetes is not asked."""
        return f"kubernetes.io/service-name={self.service}" if self.service is not None else self.selector

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.service is not None and self.selector is not None:
            raise ValueError("service and selector are both given; keep one")
        return self


class DiscoverySettings(Section):
    """How `appliance serve` finds packs."""

    urls: Annotated[tuple[Annotated[str, AfterValidator(base_url)], ...], BeforeValidator(_listed)] = ()
    """Doors of packs, as http://host:8090."""
    kubernetes: KubernetesSettings = Field(default_factory=lambda: KubernetesSettings())
    """Doors of packs that Kubernetes knows."""
    silent_s: float = Field(5, gt=0)
    """Engines of a pack that does not answer for so long get no calls until it answers again."""


class ClusterSettings(Section):
    """How gateways and packs find and trust each other where they run apart. `appliance up` needs none of it."""

    key_file: Path = Path("pack-key")
    """Bearer keys of the packs' doors, one per line, below `data_dir` unless absolute: a door takes each of them, a
    gateway sends the first. Read again when it changes. `appliance engines` makes one where there is none."""
    salt_file: Path | None = None
    """A secret of 32 bytes or more that all gateways share, below `data_dir` unless absolute, so that an engine finds a
    tenant's prefix in its cache whichever gateway asks. Without it each gateway makes its own at its start."""
    door: DoorSettings = Field(default_factory=lambda: DoorSettings())
    """The door of a pack."""
    group: GroupSettings = Field(default_factory=lambda: GroupSettings())
    """One engine over several nodes."""
    discovery: DiscoverySettings = Field(default_factory=lambda: DiscoverySettings())
    """How gateways find packs."""
