"""How many calls of a request are still to come, in all and one after the other: what their order asks. Pure."""

from __future__ import annotations

from appliance.coordinator.options import CoordinatorOptions
from appliance.domain.model import Role

TYPICAL_TASKS = 2
"""Tasks in a row that a plan usually has, as long as it is not known."""


def calls_after(options: CoordinatorOptions, role: Role, tasks_after: int = 0) -> int:
    """Calls after one of `role`, when `tasks_after` tasks wait for its own in a chain; repairs are not foreseen."""
    verdict = int(options.verification.enabled and bool(options.roles.verifier))
    task, synthesis = 1 + verdict, int(bool(options.roles.synthesizer))
    match role:
        case Role.PLANNER:
            return TYPICAL_TASKS * task + synthesis
        case Role.EXECUTOR:
            return verdict + tasks_after * task + synthesis
        case Role.VERIFIER:
            return tasks_after * task + synthesis
        case _:
            return 0


def calls_left(options: CoordinatorOptions, tasks: int) -> int:
    """Calls until the answer when `tasks` tasks are not finished; repairs are not foreseen."""
    verdict = int(options.verification.enabled and bool(options.roles.verifier))
    return tasks * (1 + verdict) + int(bool(options.roles.synthesizer))
