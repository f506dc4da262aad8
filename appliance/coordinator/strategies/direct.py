"""The generalist answers in one call: what easy requests get, and what every other strategy falls back to."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from appliance.coordinator.answer_stream import stream_answer
from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.conversation import without_markers
from appliance.coordinator.final_answer import answer_params
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import Run
from appliance.coordinator.strategies.passthrough import TASK_ID, caller_ask
from appliance.domain.forecast import Reduction
from appliance.domain.model import Role

SHORTER_ANSWER: Final = "a shorter answer"
LEAST_ANSWER_TOKENS: Final = 64
"""A budget that leaves less than this is an error: the answer would be cut off in its first sentence."""


class Direct:
    """One call; the model's own working is sent as reasoning, what follows it as the answer."""

    async def answer(self, run: Run) -> str:
        """Stream the answer of the first generalist that begins to give one."""
        purpose = CallPurpose(Role.GENERALIST, TASK_ID)
        models = run.options.generalists_for(run.request)
        return await stream_answer(run, purpose, models, lambda prompts: _affordable(run, generalist_ask(run, prompts)))


def _affordable(run: Run, ask: Ask) -> Ask:
    """The call with a shorter answer, where only its longest one is more than the request may spend.

    This is the last of the smaller plans. A length that the caller named stays, and is refused where it is too much.
    """
    room = run.budget.remaining_tokens - ask.prompt_tokens_estimate
    if not ask.can_be_shorter or ask.answer_tokens <= room or room < LEAST_ANSWER_TOKENS * ask.sequences:
        return ask
    longest = room // ask.sequences
    run.leave_out(Reduction(SHORTER_ANSWER, f"{ask.max_tokens} tokens may be needed, the request has {longest} left"))
    return replace(ask, max_tokens=longest)


def generalist_ask(run: Run, prompts: PromptSet) -> Ask:
    """The caller's messages, unless the prompt set words them anew; its sampling wins over the role's."""
    limit = run.options.sampling_of(Role.GENERALIST)
    request = replace(run.request, messages=without_markers(run.request.messages))
    ask = caller_ask(request, run.bounded(limit.max_tokens))
    params = {**prompts.params.get(Role.GENERALIST, {}), "temperature": limit.temperature}
    params = answer_params(prompts, params, run.request)
    if Role.GENERALIST not in prompts.messages or request.has_images:  # templates have no words for pictures
        return replace(ask, params=params)
    messages = prompts.render(Role.GENERALIST, question=run.question, history=run.history)
    return replace(ask, messages=messages, params=params)
