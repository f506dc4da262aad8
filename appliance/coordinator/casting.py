"""Which model plays which role or takes which request: whether it can, and other models for one request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.coordinator.options import CoordinatorOptions, Roles
from appliance.coordinator.prompt_set import PromptSet
from appliance.domain.endpoint import Endpoint
from appliance.domain.model import Role
from appliance.domain.request import ChatRequest
from appliance.errors import ConfigError, InvalidRequest, UnknownModel

_FIELD = "model_for"


def check_roles(roles: Roles, prompt_sets: Mapping[str, PromptSet]) -> None:
    """Raises ConfigError where a role's model is not in the pool or can't play it."""
    for role, models in roles.by_role():
        for model_id in models:
            if model_id not in prompt_sets:
                raise ConfigError(f"roles: {model_id} plays {role.value}, but is not in the pool")
            if not prompt_sets[model_id].plays(role):
                raise ConfigError(f"roles: {_unfit(model_id, role, prompt_sets)}")


def check_offered(request: ChatRequest, options: CoordinatorOptions) -> None:
    """Raises InvalidRequest where the engines of the model that is named do not have the request's endpoint, or where
    nobody who would answer reads its images.
    """
    virtual = request.model == options.virtual_model
    if virtual and request.endpoint is not Endpoint.CHAT:
        raise InvalidRequest(
            f"model: {request.model} answers chats only; name a model of the pool for {request.endpoint.value}",
            param="model",
        )
    task = options.task_of(request.model)
    if request.endpoint not in task.offers:
        able = [model_id for model_id, does in sorted(options.tasks.items()) if request.endpoint in does.offers]
        instead = f"; {', '.join(able)} can" if able else "; no model of the pool can"
        raise InvalidRequest(
            f"model: engines of {request.model} {task.value} and have no {request.endpoint.value}{instead}",
            param="model",
        )
    answerers = options.generalists_for(request) if virtual else tuple(options.image_readers & {request.model})
    if request.has_images and not answerers:
        who = ", ".join(sorted(options.image_readers))
        raise InvalidRequest(
            f"messages: {request.model} reads no images; "
            + (f"name a model that does: {who}" if who else "no model of the pool does"),
            param="messages",
        )


def recast(roles: Roles, model_for: Mapping[str, str], prompt_sets: Mapping[str, PromptSet]) -> Roles:
    """The roles with other models: `verifier`, `executor` (every skill) or `executor.math` → the model that plays it.

    Nobody stands in for that one. Raises InvalidRequest for a role or skill that there is not and for a model that
    can't play it, UnknownModel for one that is not in the pool.
    """
    for part, model_id in model_for.items():
        name, _, skill = part.partition(".")
        role = _role(name)
        if model_id not in prompt_sets:
            known = ", ".join(sorted(prompt_sets))
            raise UnknownModel(f"{_FIELD}: there is no model {model_id!r} here; known: {known}", param=_FIELD)
        if not prompt_sets[model_id].plays(role):
            raise _refused(_unfit(model_id, role, prompt_sets))
        changed: dict[str, Any] = {role.value: (model_id,)}
        if role is Role.EXECUTOR:
            changed = {"executors": {**roles.executors, **dict.fromkeys(_skills(roles, skill), (model_id,))}}
        elif skill:
            raise _refused(f"{part}: only executors have skills")
        roles = replace(roles, **changed)
    return roles


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise _refused(f"there is no role {name!r}; known: {', '.join(Role)}") from None


def _skills(roles: Roles, skill: str) -> tuple[str, ...]:
    known = tuple(roles.executors)
    if not known:
        raise _refused("no executors are configured")
    if skill and skill not in known:
        raise _refused(f"nobody has the skill {skill!r}; known: {', '.join(known)}")
    return (skill,) if skill else known


def _unfit(model_id: str, role: Role, prompt_sets: Mapping[str, PromptSet]) -> str:
    return (
        f"{model_id} can't play {role.value}: its prompt set {prompt_sets[model_id].name} has no templates for that "
        "role; name another model"
    )


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest(f"{_FIELD}: {reason}", param=_FIELD)
