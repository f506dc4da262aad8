"""The parts `monitoring` and `tests`: what is watched, and what `helm test` tries."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from appliance.chart.part import Labels, Part
from appliance.chart.workload import Amounts, Resources

Duration = Annotated[str, Field(pattern=r"^[0-9]+(ms|s|m|h)$")]
Target = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")]


class ServiceMonitors(Part):
    """ServiceMonitors of the Prometheus operator."""

    enabled: bool = False
    """Make them."""
    interval: Duration = "15s"
    """How often metrics are read."""
    labels: Labels = Field({})
    """Labels by which the operator finds them."""


class Rules(Part):
    """Alerts, as a PrometheusRule."""

    enabled: bool = False
    """Make it."""
    labels: Labels = Field({})
    """Labels by which the operator finds it."""
    runbook: str = "docs/helm.md"
    """Where alerts say that there is more to read."""


class Dashboards(Part):
    """Grafana's dashboards, as a ConfigMap."""

    enabled: bool = False
    """Make it."""
    labels: Labels = Field({"grafana_dashboard": "1"})
    """Labels by which Grafana's sidecar finds it."""


class MonitoringValues(Part):
    """Metrics, alerts and dashboards."""

    service_monitor: ServiceMonitors = ServiceMonitors()
    """ServiceMonitors of the Prometheus operator."""
    prometheus_rule: Rules = Rules()
    """Alerts."""
    dashboards: Dashboards = Dashboards()
    """Grafana's dashboards."""
    prometheus_address: str = Field("", pattern=r"^(https?://[^\s]+)?$")
    """Where KEDA asks Prometheus, as `http://prometheus.monitoring:9090`."""


class TestsValues(Part):
    """What `helm test` tries."""

    enabled: bool = True
    """Make its pods."""
    question: str = Field("Start with 12, multiply by 7, then subtract 5.", min_length=1)
    """What is asked; it should take several steps."""
    timeout_seconds: int = Field(300, ge=1)
    """Longest time for the answer."""
    egress_targets: tuple[Target, ...] = ("1.1.1.1:443", "8.8.8.8:53", "169.254.169.254:80", "example.com:443")
    """None of these may be reached, from where gateways stand and from where packs stand. Add hosts of your own
    network that must be out of reach."""
    resources: Resources = Resources(
        requests=Amounts(cpu="50m", memory="64Mi", **{"ephemeral-storage": "16Mi"}),
        limits=Amounts(cpu="1", memory="256Mi", **{"ephemeral-storage": "64Mi"}),
    )
    """What each pod asks for, and the most that it gets."""
