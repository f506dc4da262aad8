"""How well a model carries out steps of a skill, measured on instructions with right results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from appliance.coordinator.attempts import executor_ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import seed_of
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.voting import normalised
from appliance.evaluation.intervals import Share
from appliance.evaluation.labelled_set import LabelledResult
from appliance.evaluation.verdicts import AskModel

_TASK_ID = "skill"


@dataclass(frozen=True, slots=True)
class MeasuredSkill:
    """One model's share of right results; it holds for this revision of it, asked with these prompts."""

    model_id: str
    revision: str
    prompts: str
    skill: str
    share: Share

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one of."""
        return self.model_id, self.revision, self.prompts, self.skill

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"model": self.model_id, "skill": self.skill, **self.share.as_document()}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, and the results of it that are known to be right."""

    task: TaskInput
    right: frozenset[str]


def steps_of(labelled: Sequence[LabelledResult], skills: Collection[str]) -> tuple[Step, ...]:
    """Each instruction of these skills once, of those with a right result."""
    found: dict[tuple[Any, ...], tuple[TaskInput, set[str]]] = {}
    for item in labelled:
        if item.skill in skills and item.right:
            key = item.skill, item.instruction, item.question, tuple(sorted(item.inputs.items()))
            task = TaskInput(_TASK_ID, item.skill, item.instruction, item.question, item.inputs)
            found.setdefault(key, (task, set()))[1].add(normalised(item.result))
    return tuple(Step(task, frozenset(right)) for task, right in found.values())


def carried_out(
    steps: Sequence[Step],
    model_id: str,
    prompts: PromptSet,
    sampling: Sampling,
    ask_model: AskModel,
    *,
    at_once: int,
    done: Callable[[], None] = lambda: None,
) -> dict[str, Share]:
    """Skill → how many of its steps the model gets right, with exactly the calls that the coordinator makes.

    Raises what `ask_model` raises.
    """

    def right(step: Step) -> bool:
        seed = seed_of(step.task.instruction, _TASK_ID, 1)
        asked = executor_ask(prompts, step.task, sampling, sampling.temperature, seed, None)
        answer = prompts.answer_of(ask_model(model_id, asked).text)
        done()
        return normalised(answer) in step.right

    with ThreadPoolExecutor(at_once) as pool:
        calls = [(step.task.skill, pool.submit(right, step)) for step in steps]
        try:
            results = [(skill, call.result()) for skill, call in calls]
        finally:
            pool.shutdown(cancel_futures=True)
    skills = dict.fromkeys(skill for skill, _ in results)
    return {
        name: Share(sum(good for skill, good in results if skill == name), sum(skill == name for skill, _ in results))
        for name in skills
    }
