"""The verifier's call and how its verdict is read. Pure.

The verdict is the word after the last separator, `pass` or `fail`, or the last line where the prompt set asks for a
reason before it. Its probability comes from the model's own
distribution at the token where that word begins: P(pass) / (P(pass) + P(fail)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.sampling import sampled
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.trust import instruction_for
from appliance.domain.model import Role
from appliance.domain.request import TokenLogprob
from appliance.domain.trace import Verdict

TOP_LOGPROBS = 10
"""Alternatives asked for at each token; vLLM allows 20."""

REASON_CHARS = 400
"""Longest reason; more of it would crowd a repair's prompt."""

_WORDS = ("pass", "fail")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on one result. `probability` is that of a right result, `rule` says how it was found.

    `reason` says what is wrong, for a repair; it may quote contents.
    """

    verdict: Verdict
    probability: float
    rule: str
    reason: str = ""


def verifier_ask(prompts: PromptSet, task: TaskInput, result: str, sampling: Sampling, seed: int) -> Ask:
    """Ask for a verdict on `result`, with the logprobs that its probability is read from."""
    messages = prompts.render(
        Role.VERIFIER,
        question=task.question,
        skill=task.skill,
        instruction=instruction_for(prompts, task),
        inputs=task.inputs,
        wishes=task.checks.wishes(),
        result=result,
    )
    params = {
        **prompts.params.get(Role.VERIFIER, {}),
        **sampled(sampling.temperature, seed),
        "logprobs": True,
        "top_logprobs": TOP_LOGPROBS,
    }
    return Ask(messages, sampling.max_tokens, params)


def read_verdict(prompts: PromptSet, text: str, tokens: Sequence[TokenLogprob], threshold: float) -> Judgement:
    """The verdict in a verifier's answer; `tokens` are all of the answer's.

    1. No verdict word at the end: unsure, 0.5.
    2. The word's own token has a distribution: pass when P(pass) is at least `threshold`.
    3. The word alone: as it says, with the probability 1 or 0.
    """
    reason, word = _parts(prompts, text)
    if word not in _WORDS:
        return Judgement(Verdict.UNSURE, 0.5, "no verdict in the answer")
    token = _verdict_token(word, tokens)
    probability = _probability(token) if token is not None else None
    if probability is None:
        return Judgement(Verdict(word), float(word == "pass"), "verdict word", reason)
    if probability >= threshold:
        return Judgement(Verdict.PASS, probability, "verdict token", reason)
    if word == "pass":  # what it says in favour of the result is no help to a repair
        reason = f"it is not sure enough that the result is right ({probability:.2f}, {threshold:.2f} are needed)"
    return Judgement(Verdict.FAIL, probability, "verdict token", reason)


def _parts(prompts: PromptSet, text: str) -> tuple[str, str]:
    """The reason, empty where the set asks for none, and the word of a verdict."""
    answer = prompts.answer_of(text)
    reason, _, word = answer.rpartition("\n") if prompts.verdict_reason else ("", "", answer)
    return " ".join(reason.split())[:REASON_CHARS], word.strip(" \t\n\"'.").lower()


def _verdict_token(word: str, tokens: Sequence[TokenLogprob]) -> TokenLogprob | None:
    """The token with which the last `word` begins, looked for from the end."""
    tail = ""
    for token in reversed(tokens):
        tail = token.token + tail
        if token.token.strip() and tail.strip().lower().startswith(word):
            return token
    return None


def _probability(token: TokenLogprob) -> float | None:
    mass = dict.fromkeys(_WORDS, 0.0)
    for text, logprob in {token.token: token.logprob, **token.alternatives}.items():
        begun = text.strip().lower()
        for word in _WORDS:
            if begun and word.startswith(begun):
                mass[word] += math.exp(logprob)
    total = sum(mass.values())
    return mass["pass"] / total if total > 0 else None
