"""The planner's call: the question under a grammar of plans, and the second try after a rejected plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.coordinator.ask import Ask
from appliance.coordinator.checks.reading import STEP_PROPERTIES
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PlanFormat, PlanRepair, PromptSet
from appliance.coordinator.sampling import sampled
from appliance.coordinator.task_graph import ID_PATTERN, TASK_ROLES, PlanRejected, TaskGraph, parse_plan
from appliance.domain.model import Role

PLAN_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class PlanningTask:
    """What there is to plan: the question, the turns before it, the skills at hand, the most tasks allowed.

    `given` are ids of results from outside that the plan may refer to. `nests`: a step may be planned again.
    """

    question: str
    history: Sequence[Mapping[str, str]]
    skills: tuple[str, ...]
    max_tasks: int
    given: tuple[str, ...] = ()
    nests: bool = False


@dataclass(frozen=True, slots=True)
class BadPlan:
    """An earlier answer of the planner and what is wrong with it."""

    text: str
    reasons: tuple[str, ...]


def planner_ask(
    prompts: PromptSet,
    task: PlanningTask,
    sampling: Sampling,
    repair_temperature: float,
    seed: int,
    bad: BadPlan | None,
) -> Ask:
    """The first try, or, after the `bad` plan, the second one in the way that the prompt set knows."""
    shown = bad if prompts.plan_repair is PlanRepair.SHOW_ERROR else None
    resampled = bad is not None and prompts.plan_repair is PlanRepair.RESAMPLE
    messages = prompts.render(
        Role.PLANNER,
        question=task.question,
        history=task.history,
        skills=task.skills,
        max_tasks=task.max_tasks,
        given=task.given,
        nests=task.nests,
        rejected=shown,
    )
    params = {
        **prompts.params.get(Role.PLANNER, {}),
        **sampled(repair_temperature if resampled else sampling.temperature, seed),
        **_constraint(prompts.plan_format, task),
    }
    return Ask(messages, sampling.max_tokens, params)


def _constraint(plan_format: PlanFormat, task: PlanningTask) -> dict[str, Any]:
    """Request fields that let the engine generate plans only."""
    if plan_format is PlanFormat.SPELLING:
        return {"structured_outputs": {"regex": plan_regex(task.skills, task.max_tasks)}}
    schema = plan_schema(task.skills, task.max_tasks, nests=task.nests)
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": schema}}
    }


def read_plan(text: str, task: PlanningTask) -> TaskGraph | PlanRejected:
    """The planner's answer as a graph, or why it is none."""
    return parse_plan(text, task.skills, task.max_tasks, task.given)


def plan_schema(skills: Sequence[str], max_tasks: int, *, nests: bool = False) -> dict[str, Any]:
    """JSON Schema of a plan. References are beyond a schema; `parse_plan` checks them."""
    role = {"role": {"type": "string", "enum": [role.value for role in TASK_ROLES]}} if nests else {}
    step = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": f"^{ID_PATTERN}$"},
            "skill": {"type": "string", "enum": list(skills)},
            "do": {"type": "string"},
            **STEP_PROPERTIES,
            **role,
        },
        "required": ["id", "skill", "do"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step, "minItems": 1, "maxItems": max_tasks}},
        "required": ["steps"],
        "additionalProperties": False,
    }


def plan_regex(skills: Sequence[str], max_tasks: int) -> str:
    """The same plans, spelled as `json.dumps` does, instructions without quotes, backslashes and line ends."""
    skill = "|".join(re.escape(skill) for skill in skills)
    step = rf'\{{"id": "{ID_PATTERN}", "skill": "({skill})", "do": "[^"\\\n\r]+"\}}'
    return rf'\{{"steps": \[{step}(, {step}){{0,{max_tasks - 1}}}\]\}}'
