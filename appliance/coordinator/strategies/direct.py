"""The generalist answers in one call: what easy requests get, and what every other strategy falls back to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from appliance.coordinator.answer_stream import stream_answer
from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.conversation import without_markers
from appliance.coordinator.final_answer import answer_params
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import Run
from appliance.coordinator.strategies.passthrough import TASK_ID, caller_ask
from appliance.domain.model import Role


class Direct:
    """One call; the model's own working is sent as reasoning, what follows it as the answer."""

    async def answer(self, run: Run) -> str:
        """Stream the answer of the first generalist that begins to give one."""
        purpose = CallPurpose(Role.GENERALIST, TASK_ID)
        models = run.options.generalists_for(run.request)
        return await stream_answer(run, purpose, models, partial(generalist_ask, run))


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
