"""The synthesizer's call: the caller's conversation, and the results, quoted as data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.conversation import instructions_of, question_of, turns_of
from appliance.coordinator.final_answer import answer_params
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import sampled
from appliance.domain.model import Role
from appliance.domain.request import ChatRequest


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one task came to; `verified` says that a verifier passed it."""

    task_id: str
    skill: str
    instruction: str
    result: str
    verified: bool


def synthesizer_ask(
    prompts: PromptSet, request: ChatRequest, results: Sequence[TaskResult], limit: Sampling, seed: int, *, tools: bool
) -> Ask:
    """Ask for the answer: the turns of the conversation stand between the set's first messages and its last one.

    `limit.max_tokens` is already bounded by the caller's wish; `tools`: the model has words for calls of tools. What
    the caller says of sampling, tools and form holds here.
    """
    *head, last = prompts.render(
        Role.SYNTHESIZER,
        system=instructions_of(request.messages),
        question=question_of(request.messages),
        results=results,
    )
    params = {**prompts.params.get(Role.SYNTHESIZER, {}), **sampled(limit.temperature, seed)}
    messages = (*head, *turns_of(request.messages, tools=tools), last)
    return Ask(messages, limit.max_tokens, answer_params(prompts, params, request))
