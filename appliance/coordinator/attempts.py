"""Attempts at a task: who makes the next one, its call, whether its result can be used, and which is best. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling, Verification
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import sampled
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.trust import instruction_for
from appliance.coordinator.verifier import Judgement
from appliance.domain.model import Role
from appliance.domain.trace import Verdict

MOST_SHOWN_CHARS = 2_000
"""Of a rejected result: enough to see what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of attempt `number` (from 1) by a model, and its judgement (None: nobody judged it).

    Unusable: it is no result at all.
    """

    number: int
    result: str
    judgement: Judgement | None
    usable: bool = True
    model_id: str = ""

    @property
    def accepted(self) -> bool:
        """It passed, or nobody judges."""
        return self.judgement is None or self.judgement.verdict is Verdict.PASS

    @property
    def probability(self) -> float:
        """Of being right, as far as anybody said."""
        return 1.0 if self.judgement is None else self.judgement.probability


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """Who makes the next attempt, best first, and at which temperature."""

    models: tuple[str, ...]
    temperature: float


def next_attempt(
    executors: Sequence[str], attempts: Sequence[Attempt], limits: Sampling, verification: Verification
) -> NextAttempt | None:
    """How it goes on after these attempts, none of which was accepted; None: there are no more.

    1. The first one, at the role's own temperature.
    2. `repair_attempts` more by the same models, at the repair temperature: the same again would be the same.
    3. `other_model_attempts` by models that made none of these; each one's first at the role's own temperature.
    """
    own, others = attempts[: 1 + verification.repair_attempts], attempts[1 + verification.repair_attempts :]
    if not attempts:
        return NextAttempt(tuple(executors), limits.temperature)
    if len(own) <= verification.repair_attempts:
        return NextAttempt(tuple(executors), verification.repair_temperature)
    made = [attempt.model_id for attempt in others]
    left = [model_id for model_id in executors if all(attempt.model_id != model_id for attempt in own)]
    if not left or len(others) >= verification.other_model_attempts:
        return None
    models = tuple(sorted(left, key=made.count))
    return NextAttempt(models, verification.repair_temperature if models[0] in made else limits.temperature)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A result that did not pass, as the next attempt is shown it: as data, cut to a bounded length."""

    result: str
    reason: str


def rejected(attempts: Sequence[Attempt]) -> Rejected | None:
    """The latest one."""
    if not attempts:
        return None
    judgement = attempts[-1].judgement
    return Rejected(attempts[-1].result[:MOST_SHOWN_CHARS], judgement.reason if judgement else "")


def executor_ask(
    prompts: PromptSet, task: TaskInput, limits: Sampling, temperature: float, seed: int, shown: Rejected | None
) -> Ask:
    """The executor's call; `shown` is the earlier result that it has to do better than."""
    messages = prompts.render(
        Role.EXECUTOR,
        question=task.question,
        skill=task.skill,
        instruction=instruction_for(prompts, task),
        inputs=task.inputs,
        wishes=task.checks.wishes(),
        rejected=shown,
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
