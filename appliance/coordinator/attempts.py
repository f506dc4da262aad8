"""One attempt at a task: the executor's call, whether its result can be used, and which attempt is best. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import sampled
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.verifier import Judgement
from appliance.domain.model import Role
from appliance.domain.trace import Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of attempt `number` (from 1) and its judgement (None: nobody judged it). Unusable: none at all."""

    number: int
    result: str
    judgement: Judgement | None
    usable: bool = True

    @property
    def accepted(self) -> bool:
        """It passed, or nobody judges."""
        return self.judgement is None or self.judgement.verdict is Verdict.PASS

    @property
    def probability(self) -> float:
        """Of being right, as far as anybody said."""
        return 1.0 if self.judgement is None else self.judgement.probability


def executor_ask(prompts: PromptSet, task: TaskInput, limits: Sampling, temperature: float, seed: int) -> Ask:
    """The executor's call."""
    messages = prompts.render(
        Role.EXECUTOR,
        question=task.question,
        skill=task.skill,
        instruction=task.instruction,
        inputs=task.inputs,
        wishes=task.checks.wishes(),
    )
    params = {**prompts.params.get(Role.EXECUTOR, {}), **sampled(temperature, seed)}
    return Ask(messages, limits.max_tokens, params)


def unusable(result: str, finish_reason: str | None) -> str:
    """Why a result is none at all; empty when it is one."""
    if finish_reason == "length":
        return "cut off at max_tokens"
    return "" if result else "empty result"


def best(attempts: Sequence[Attempt]) -> Attempt | None:
    """The first accepted attempt, else the usable one with the highest probability, the earlier one on a tie."""
    usable = [attempt for attempt in attempts if attempt.usable]
    accepted = (attempt for attempt in usable if attempt.accepted)
    return next(accepted, None) or max(usable, key=lambda attempt: attempt.probability, default=None)
