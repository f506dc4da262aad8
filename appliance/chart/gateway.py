"""The parts `gateway`, `service`, `ingress`, `gatewayApi` and `tls`: the door, and the ways to it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from appliance.chart.part import Labels, Name, Object, Part, Port
from appliance.chart.workload import Amounts, Claim, Resources, Scaling, Spread, Where


class GatewayScaling(Scaling):
    """When there are more gateways."""

    min_replicas: int = Field(2, ge=1)
    """Fewest pods."""
    max_replicas: int = Field(6, ge=1)
    """Most pods."""
    requests_in_flight: int = Field(64, ge=1)
    """Requests being answered by one gateway, above which there should be another."""


class Discovery(Part):
    """How gateways find the packs."""

    kind: Literal["kubernetes", "urls"] = "kubernetes"
    """`kubernetes`: by watching EndpointSlices, which takes a service account that may read them. `urls`: by the names
    of the pods as they stand in the packs' `replicas`; no access to the API server, no scaling of packs."""
    token_seconds: int = Field(3600, ge=600)
    """Lifetime of the service account's token."""


class GatewayValues(Where):
    """The gateway: HTTP, coordinator, dispatch."""

    replicas: int = Field(1, ge=1)
    """Pods. More than one needs a database that they share."""
    resources: Resources = Resources(
        requests=Amounts(cpu="500m", memory="512Mi", **{"ephemeral-storage": "1Gi"}),
        limits=Amounts(cpu="4", memory="2Gi", **{"ephemeral-storage": "12Gi"}),
    )
    """What a pod asks for, and the most that it gets."""
    data: Claim = Claim(enabled=True, size="10Gi")
    """The data directory, kept if enabled: the audit chain, the journal and, where there is no database, the SQLite
    ledger. With a database each gateway has a volume of its own, and the gateways are a StatefulSet; off, they are a
    Deployment, and each pod's audit chain goes with it."""
    files: Name = ""
    """ConfigMap of yours, at /etc/appliance/files: what `config.policy.files` and `config.access` name (`jwks_file`,
    `ca_file`)."""
    discovery: Discovery = Discovery()
    """How gateways find the packs."""
    autoscaling: GatewayScaling = GatewayScaling()
    """When there are more gateways."""
    pod_disruption_budget: bool = True
    """Nodes are drained one gateway at a time, where there are several."""
    spread: Spread = Spread()
    """How the pods are spread."""
    pre_stop_seconds: int = Field(10, ge=0, le=300)
    """So long a pod that must go still takes requests, while Services and Ingresses learn of it."""


class ServiceValues(Part):
    """The Service of the gateway."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""
    port: Port = 80
    """Its port."""
    annotations: Labels = Field({})
    """Its annotations."""


class IngressValues(Part):
    """An Ingress before the Service."""

    enabled: bool = False
    """Make one."""
    class_name: str = ""
    """Class of the Ingress; empty: the cluster's default."""
    host: str = ""
    """Host name."""
    annotations: Labels = Field({})
    """Annotations. Answers are streams: turn the proxy's buffering off, and let it wait as long as an answer takes."""


class GatewayApiValues(Part):
    """An HTTPRoute of the Gateway API."""

    enabled: bool = False
    """Make one."""
    parent_refs: tuple[Object, ...] = ()
    """Gateways that it hangs on."""
    hostnames: tuple[str, ...] = ()
    """Host names; empty: those of the Gateway."""
    timeout: str = Field("0s", pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")
    """Longest time for a request; `0s`: none, answers may take long."""


class CertManager(Part):
    """A certificate made by cert-manager."""

    enabled: bool = False
    """Ask for one."""
    issuer_ref: Object = Field({})
    """Who issues it: `name` and `kind`."""


class TlsValues(Part):
    """TLS at the Ingress."""

    existing_secret: Name = ""
    """Secret of type kubernetes.io/tls."""
    cert_manager: CertManager = CertManager()
    """A certificate made by cert-manager."""
