"""The part `networkPolicy`: who may talk to whom."""

from __future__ import annotations

from pydantic import Field

from appliance.chart.part import Cidr, Labels, Name, Object, Part, Port


class Peers(Part):
    """Others, and the ports at which they are reached."""

    to: tuple[Object, ...] = ()
    """Peers as a NetworkPolicy has them (`ipBlock`, `namespaceSelector`, `podSelector`). Empty: nobody."""
    ports: tuple[Port, ...] = ()
    """TCP ports."""


class DnsPeers(Part):
    """The cluster's DNS."""

    namespace: Name = "kube-system"
    """Its namespace."""
    pod_labels: Labels = Field({"k8s-app": "kube-dns"})
    """Labels of its pods."""
    port: Port = 53
    """Port of its pods, UDP and TCP (5353 on OpenShift)."""
    cidrs: tuple[Cidr, ...] = ()
    """Further addresses, as of a DNS cache on each node (`169.254.20.10/32`)."""


class ApiServerPeers(Part):
    """Kubernetes' API server, which gateways ask for EndpointSlices."""

    cidrs: tuple[Cidr, ...] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    """Where it may be. An installation that reaches the cluster looks its addresses up, and allows those instead."""
    ports: tuple[Port, ...] = (443, 6443)
    """Its ports."""
    look_up: bool = True
    """Ask the cluster, at the time of installation."""


class NetworkPolicyValues(Part):
    """Nothing in and nothing out of any pod of this release, but for what is named here. It needs a network plugin that
    enforces NetworkPolicies; `helm test` tries."""

    enabled: bool = True
    """Make the policies."""
    clients: tuple[Object, ...] = ({"podSelector": {}},)
    """Who may reach the gateway; by default pods of the same namespace. An Ingress has a namespace of its own."""
    scrapers: tuple[Object, ...] = (
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    )
    """Who may read metrics of gateways and packs, where `monitoring` is on."""
    dns: DnsPeers = DnsPeers()
    """The cluster's DNS."""
    api_server: ApiServerPeers = ApiServerPeers()
    """Kubernetes' API server."""
    database: Peers = Peers(ports=(5432,))
    """The external PostgreSQL."""
    telemetry: Peers = Peers(ports=(4318,))
    """The OpenTelemetry collector of `config.telemetry.otlp_endpoint`."""
    identity: Peers = Peers(ports=(443,))
    """The identity provider whose keys (JWKS) the gateway reads."""
    extra_egress: tuple[Object, ...] = Field(())
    """Further rules for what gateways may reach, as a NetworkPolicy has them."""
