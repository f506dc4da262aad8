"""Settings and what is known of the models → the rules of labels and tenants."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.config import Settings
from appliance.config.policy import RuleSettings, TenantPolicySettings
from appliance.domain.model import Model
from appliance.domain.policy import DataPolicy, TenantLimits, TenantPolicy
from appliance.domain.request import Effort
from appliance.domain.tenant import DEFAULT
from appliance.domain.use_rule import Origin, UseRule

_SETS = ("models", "licences", "countries", "publishers", "nodes", "strategies")


def data_policy(settings: Settings, models: Mapping[str, Model]) -> DataPolicy:
    """The policy over `models`, those of the pool."""
    said = settings.policy
    base = TenantLimits(**settings.coordinator.tenant_budget.model_dump())
    everybodys = frozenset(said.default_labels)
    named = {DEFAULT: TenantPolicySettings()} | said.policies
    return DataPolicy(
        {label: _rule(rule) for label, rule in said.labels.items()},
        {name: _tenant_policy(policy, base, everybodys) for name, policy in named.items()},
        {model_id: Origin(model.licence, model.country, model.publisher) for model_id, model in models.items()},
    )


def _tenant_policy(said: TenantPolicySettings, base: TenantLimits, everybodys: frozenset[str]) -> TenantPolicy:
    return TenantPolicy(
        rule=_rule(said),
        for_labels={label: _rule(rule) for label, rule in said.for_labels.items()},
        only_labels=None if said.only_labels is None else frozenset(said.only_labels) | everybodys,
        default_labels=frozenset(said.default_labels) | everybodys,
        limits=TenantLimits(**said.limits.model_dump()).over(base),
        weight=said.weight,
    )


def _rule(said: RuleSettings) -> UseRule:
    allowed = {name: frozenset(values) for name in _SETS if (values := getattr(said, name)) is not None}
    return UseRule(
        **allowed,
        max_effort=None if said.max_effort is None else Effort(said.max_effort),
        max_tokens=said.max_tokens,
        keep_content=said.keep_content,
        keep_days=said.keep_days,
        clip=said.beyond == "clip",
    )
