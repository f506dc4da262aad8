"""Which model plays which role, and so how often a request calls each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.domain.demand import RoleDemand
from appliance.placement.problem import Problem


@dataclass(frozen=True, slots=True)
class Assignment:
    """`roles` pairs each role with its models in the order in which they should be asked; the first bears its calls.

    `calls` lists each called model's calls. `notes` say where an order was changed, or a wish could not be met.
    """

    roles: tuple[tuple[str, tuple[str, ...]], ...]
    calls: Mapping[str, tuple[RoleDemand, ...]]
    notes: tuple[str, ...]

    def of(self, model_id: str) -> tuple[str, ...]:
        """Roles whose calls the model bears."""
        return tuple(role for role, models in self.roles if models and models[0] == model_id)


def assign(problem: Problem) -> Assignment:
    """Each role to the first of its models; of two roles that want different families the second gives way."""
    families = {wanted.model_id: wanted.model.family for wanted in problem.models}
    roles = {role: tuple(m for m in models if m in families) for role, models in problem.roles.items()}
    notes = []
    for first, second in problem.constraints.different_families:
        if not roles.get(first) or not roles.get(second):
            continue
        taken = families[roles[first][0]]
        others = [model for model in roles[second] if families[model] != taken]
        if families[roles[second][0]] != taken:
            continue
        if others:
            notes.append(
                f"{second}: {others[0]} goes first, because {roles[second][0]} is of the {first}'s family {taken}"
            )
            roles[second] = (others[0], *(model for model in roles[second] if model != others[0]))
        else:
            notes.append(f"{first} and {second} are both of family {taken}; add a {second} of another one to the pool")
    calls: dict[str, tuple[RoleDemand, ...]] = {}
    for role, models in roles.items():
        demand = problem.demand.of(role)
        if demand is not None and models:
            calls[models[0]] = (*calls.get(models[0], ()), demand)
    return Assignment(tuple(roles.items()), calls, tuple(notes))
