"""What `GET /v1/models` says of the virtual model and of each model of the pool."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.bootstrap.options import tool_callers
from appliance.config import Settings
from appliance.domain.endpoint import Endpoint
from appliance.domain.model import Model
from appliance.gateway.openai.models import ModelListing


def model_listings(settings: Settings, models: Mapping[str, Model]) -> list[ModelListing]:
    """The virtual model first, then the pool's in the order of the configuration."""
    lengths = {member.model: member.engine.max_model_len for member in settings.pool}
    callers = tool_callers(settings, models)
    listed = [_listing(model, lengths[model_id], model_id in callers) for model_id, model in models.items()]
    return [_virtual(settings, models), *listed]


def _virtual(settings: Settings, models: Mapping[str, Model]) -> ModelListing:
    roles = settings.roles
    writers = {*roles.generalist, *roles.synthesizer}
    return ModelListing(
        model_id=settings.coordinator.virtual_model,
        owned_by="appliance",
        virtual=True,
        description="the coordinator: answers directly, or plans, executes and verifies",
        roles=tuple(role for role, played in settings.role_models().items() if played),
        skills=dict.fromkeys(roles.executors, 1.0),
        endpoints=(Endpoint.CHAT,),
        tools=bool(writers & tool_callers(settings, models)),
        images=any(models[model_id].reads_images for model_id in roles.generalist),
    )


def _listing(model: Model, max_model_len: int, tools: bool) -> ModelListing:
    return ModelListing(
        model_id=model.model_id,
        owned_by=model.publisher,
        licence=model.licence,
        description=model.description,
        max_model_len=max_model_len,
        roles=tuple(sorted(role.value for role in model.roles)),
        skills=dict(model.skills),
        endpoints=tuple(sorted(model.task.offers)),
        tools=tools,
        images=model.reads_images,
        reasoning=model.reasoning_parser is not None,
    )
