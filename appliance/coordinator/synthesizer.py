"""The synthesizer's call: the question and the results, quoted as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import sampled
from appliance.domain.model import Role


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one task came to; `verified` says that a verifier passed it."""

    task_id: str
    skill: str
    instruction: str
    result: str
    verified: bool


def synthesizer_ask(
    prompts: PromptSet,
    question: str,
    history: Sequence[Mapping[str, str]],
    results: Sequence[TaskResult],
    sampling: Sampling,
    seed: int,
) -> Ask:
    """Ask for the answer; `sampling.max_tokens` is already bounded by the caller's wish."""
    messages = prompts.render(Role.SYNTHESIZER, question=question, history=history, results=results)
    params = {**prompts.params.get(Role.SYNTHESIZER, {}), **sampled(sampling.temperature, seed)}
    return Ask(messages, sampling.max_tokens, params)
