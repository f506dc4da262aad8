"""Whole answers that may still be thrown away: drawn without being shown, and said once one is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from appliance.coordinator.answer_text import AnswerSplitter
from appliance.coordinator.ask import Ask
from appliance.coordinator.attempts import unusable
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.checks.checks import NO_CHECKS
from appliance.coordinator.final_answer import cut_at_stop
from appliance.coordinator.judge import Judge
from appliance.coordinator.run import Run
from appliance.coordinator.sampling import sampled, seed_of
from appliance.coordinator.strategies.direct import generalist_ask
from appliance.coordinator.strategies.passthrough import TASK_ID
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.voting import normalised
from appliance.domain.model import Role
from appliance.domain.request import ContentDelta, ReasoningDelta
from appliance.domain.trace import Outcome, TaskRecord

SKILL = "answer"
"""What a prompt set's `judges` calls whole answers."""

_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Candidate:
    """One whole answer. `number` counts from 1, `logprob` (nats) is the sum over its tokens."""

    number: int
    model_id: str
    working: str
    answer: str
    finish_reason: str | None
    logprob: float

    @property
    def usable(self) -> bool:
        """It is there and was not cut off."""
        return not unusable(self.answer, self.finish_reason)

    def say(self, run: Run, *, of: int) -> str:
        """Give it to the caller, the chosen one of so many that were drawn; returns its finish reason."""
        if self.working:
            run.say(ReasoningDelta(self.working))
        run.say(ContentDelta(self.answer))
        record(run, of, self.number)
        return self.finish_reason or "stop"

    def key(self, run: Run) -> str:
        """What it says, so that the same answers have the same key."""
        return normalised(self.answer, run.prompt_sets[self.model_id].answer_form)

    def shown(self) -> str:
        """The beginning of it, for progress lines."""
        line = " ".join(self.answer.split())
        return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1]}…"


async def draw(run: Run, number: int, models: tuple[str, ...], temperature: float) -> Candidate:
    """Answer `number`; the first may cost what is left of the budget.

    `models` take turns, and each stands in for the others; none: the generalists in their order of preference.
    The caller's temperature wins over `temperature` where it lets answers differ. Raises RoleFailed and
    BudgetExhausted.
    """
    wished = run.request.sampling.get("temperature") or 0.0
    sampling = sampled(wished or temperature, seed_of(run.seed_base, TASK_ID, number))
    keep = NOTHING if number == 1 else answer_need(run)
    made = await run.complete(
        CallPurpose(Role.GENERALIST, TASK_ID, number, keep, optional=True),
        _in_turn(models, number) or run.options.roles.generalist,
        lambda prompts: _with_params(generalist_ask(run, prompts), {**sampling, "logprobs": True}),
    )
    splitter = AnswerSplitter(run.prompt_sets[made.model_id].answer_separator)
    begun, rest = splitter.push(made.text), splitter.end()
    return Candidate(
        number=number,
        model_id=made.model_id,
        working=begun.working + rest.working,
        answer=cut_at_stop((begun.answer + rest.answer).strip(), run.request.sampling.get("stop")),
        finish_reason=made.finish_reason,
        logprob=sum(token.logprob for token in made.tokens),
    )


def _with_params(ask: Ask, params: Mapping[str, Any]) -> Ask:
    return replace(ask, params={**ask.params, **params})


def _in_turn(models: tuple[str, ...], number: int) -> tuple[str, ...]:
    first = (number - 1) % max(1, len(models))
    return models[first:] + models[:first]


def answer_need(run: Run) -> Need:
    """What must stay in the budget for one more whole answer."""
    ask = generalist_ask(run, run.prompt_sets[run.options.roles.generalist[0]])
    return Need(1, ask.tokens_estimate)


def record(run: Run, drawn: int, chosen: int | None) -> None:
    """Put into the trace which of the answers drawn was given; None: none of them."""
    run.recorder.task(
        TaskRecord(
            task_id=TASK_ID,
            skill=SKILL,
            needs=(),
            outcome=Outcome.ERROR if chosen is None else Outcome.OK,
            attempts=drawn,
            accepted_attempt=chosen,
            instruction=run.question,
            result=None if chosen is None else run.answer.whole,
        )
    )


def judge_of(run: Run) -> Judge:
    """Judges whole answers; its calls leave enough for one more answer."""

    async def keep() -> Need:
        return answer_need(run)

    return Judge(run, keep)


def whole_answer(run: Run) -> TaskInput:
    """The question as a task whose result is the answer, for whoever judges it: by rule where it is a sum alone."""
    conversation = "\n".join(f"{message['role']}: {message['content']}" for message in run.history)
    inputs = {"conversation": conversation} if conversation else {}
    return TaskInput(TASK_ID, SKILL, run.question, run.question, inputs, checks=NO_CHECKS.inferred(run.question))
