"""All values of the chart together, and what must hold between them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from appliance.chart.gateway import GatewayApiValues, GatewayValues, IngressValues, ServiceValues, TlsValues
from appliance.chart.images import GlobalValues, ImagesValues
from appliance.chart.monitoring import MonitoringValues, TestsValues
from appliance.chart.network import NetworkPolicyValues
from appliance.chart.packs import EnginesValues, GroupValues, PackValues, TurnGroup
from appliance.chart.part import Name, Part
from appliance.chart.settings_part import completed
from appliance.chart.storage import DatabaseValues, ModelsValues, SecretsValues
from appliance.config import Settings, describe


class HelmValues(Part):
    """Values of the chart `appliance`."""

    model_config = ConfigDict(title="Values of the chart `appliance`")

    name_override: Name = ""
    """Replaces the chart's name in names and labels."""
    fullname_override: Name = ""
    """Replaces the beginning of all names. `vllm` is refused: a Service of that name breaks vLLM's environment."""
    global_: GlobalValues = Field(GlobalValues(), alias="global")
    """What a chart above this one may say for all of its charts."""
    images: ImagesValues = ImagesValues()
    """What is pulled."""
    config: dict[str, Any] = Field({})
    """The appliance's configuration: pool, roles, coordinator, policy, … Empty: the starter pool, five tiny models to
    try things with. What the chart knows itself (paths, addresses, keys) can't be said here."""
    gateway: GatewayValues = GatewayValues()
    """The gateway."""
    engines: EnginesValues = EnginesValues()
    """What holds for every pack."""
    packs: tuple[PackValues, ...] = (PackValues(name="pack-0"),)
    """The packs; `appliance plan --helm-values` writes them."""
    turn_groups: tuple[TurnGroup, ...] = Field((), alias="turn_groups")
    """Engines that take turns; `appliance plan --helm-values` writes them."""
    groups: tuple[GroupValues, ...] = ()
    """Models larger than a node, each a LeaderWorkerSet."""
    models: ModelsValues = ModelsValues()
    """Weights and manifests."""
    database: DatabaseValues = DatabaseValues()
    """Where traces, usage and keys are kept."""
    secrets: SecretsValues = SecretsValues()
    """The keys of the appliance."""
    network_policy: NetworkPolicyValues = NetworkPolicyValues()
    """Who may talk to whom."""
    service: ServiceValues = ServiceValues()
    """The Service of the gateway."""
    ingress: IngressValues = IngressValues()
    """An Ingress before it."""
    gateway_api: GatewayApiValues = GatewayApiValues()
    """An HTTPRoute before it."""
    tls: TlsValues = TlsValues()
    """TLS at the Ingress."""
    monitoring: MonitoringValues = MonitoringValues()
    """Metrics, alerts and dashboards."""
    tests: TestsValues = TestsValues()
    """What `helm test` tries."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := [*self._of_config(), *self._of_packs(), *self._of_gateway()]:
            raise ValueError("; ".join(problems))
        return self

    def _of_config(self) -> list[str]:
        if not self.config:
            return []
        try:
            settings = Settings.model_validate(completed(self.config))
        except ValidationError as error:
            return [f"config: {describe(error)}"]
        pool = [member.model for member in settings.pool]
        placed = {engine.model for pack in self.packs for engine in pack.engines} | {one.model for one in self.groups}
        return [
            f"packs: {model} is not in config.pool; add it there, or make the packs anew (appliance plan --helm-values)"
            for model in sorted(placed - set(pool))
        ]

    def _of_packs(self) -> list[str]:
        names = [pack.name for pack in self.packs] + [group.name for group in self.groups]
        twice = sorted({name for name in names if names.count(name) > 1})
        found = [f"packs: {name} stands twice; give each pack a name of its own" for name in twice]
        if not names:
            found.append("packs: there is none; name one, or take those of `appliance plan --helm-values`")
        return found

    def _of_gateway(self) -> list[str]:
        several = self.gateway.replicas > 1 or self.gateway.autoscaling.enabled
        if several and self.database.kind == "sqlite":
            return [
                "gateway.replicas: several gateways need a database that they share; set database.kind to external or "
                "bundled"
            ]
        return []
