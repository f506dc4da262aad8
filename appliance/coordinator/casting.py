"""Which model plays which role: whether it can, and other models for one request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from appliance.coordinator.options import Roles
from appliance.coordinator.prompt_set import PromptSet
from appliance.domain.model import Role
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
