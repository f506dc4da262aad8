"""Settings and what is known of the models → which models and nodes may see which data."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.config import LabelSettings, Settings
from appliance.domain.model import Model
from appliance.domain.policy import DataPolicy, LabelRule


def data_policy(settings: Settings, models: Mapping[str, Model]) -> DataPolicy:
    """The policy over `models`, those of the pool."""
    return DataPolicy({label: _rule(said, models) for label, said in settings.policy.labels.items()})


def _rule(said: LabelSettings, models: Mapping[str, Model]) -> LabelRule:
    nodes = None if said.nodes is None else frozenset(said.nodes)
    if said.models is None and said.licences is None and said.countries is None:
        return LabelRule(None, nodes)
    return LabelRule(frozenset(model_id for model_id, model in models.items() if _allowed(said, model)), nodes)


def _allowed(said: LabelSettings, model: Model) -> bool:
    return (
        (said.models is None or model.model_id in said.models)
        and (said.licences is None or model.licence in said.licences)
        and (said.countries is None or model.country in said.countries)
    )
