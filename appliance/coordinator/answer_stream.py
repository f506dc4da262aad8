"""Streams one call's answer to the caller: working as reasoning, the rest as content."""

from __future__ import annotations

from dataclasses import replace

from appliance.coordinator.answer_shape import AnswerShape, shape_of
from appliance.coordinator.answer_text import AnswerSplitter, Pieces
from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.choice_texts import ChoiceTexts
from appliance.coordinator.final_answer import answer_params, cut_at_stop
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.run import MODEL_FAILURES, AskFor, ModelFailure, Run, role_failed
from appliance.domain.request import CallChunk, ContentDelta, ReasoningDelta
from appliance.errors import AnswerInvalid, EngineRejected


async def stream_answer(
    run: Run, purpose: CallPurpose, models: tuple[str, ...], ask_for: AskFor, *, verbatim: bool = False
) -> str:
    """Say the answer of the first of `models` that gives one; returns its finish reason.

    A model that breaks off, says nothing, or not what `response_format` promises, makes room for the next one as long
    as the caller has read nothing of the answer. `verbatim` leaves working and answer as one and promises nothing, as a
    caller who named the model wants it. Raises RoleFailed, BudgetExhausted, and the model's own error (AnswerInvalid
    among them) where the answer had begun.
    """
    shape = None if verbatim else shape_of(run.request.sampling.get("response_format"))
    failures: list[ModelFailure] = []
    for model_id in models:
        try:
            return await _said(run, purpose, model_id, ask_for, shape, verbatim=verbatim)
        except MODEL_FAILURES as failure:
            if not run.withdraw():
                raise
            failures.append((model_id, failure))
            if model_id != models[-1]:
                run.recorder.fallback(purpose.role, str(failure), "the next model answers")
    raise role_failed(purpose.role, failures)


async def say_result(run: Run, purpose: CallPurpose, models: tuple[str, ...], ask_for: AskFor) -> str:
    """Say the result of a task that is the answer, which nobody may reject, while it is made; returns the whole of it.

    The caller's fields hold for this call. What may still be rejected is never said like this, but held back until its
    verdict. Raises as `stream_answer`.
    """

    def answers(prompts: PromptSet) -> Ask:
        ask = ask_for(prompts)
        longest = run.bounded(ask.max_tokens) if ask.max_tokens is not None else run.request.max_tokens
        return replace(ask, max_tokens=longest, params=answer_params(prompts, ask.params, run.request))

    run.said_reason = await stream_answer(run, purpose, models, answers)
    return run.answer.of(0)


async def _said(
    run: Run, purpose: CallPurpose, model_id: str, ask_for: AskFor, shape: AnswerShape | None, *, verbatim: bool
) -> str:
    """One model's answer; its finish reason."""
    prompts = run.prompt_sets[model_id]
    telling = _Telling(run, None if verbatim else prompts.answer_separator)
    await run.caller.make(purpose, model_id, ask_for(prompts), telling.take)
    if telling.silent:
        raise EngineRejected(f"{model_id} generated nothing", status=502)
    telling.end()
    for index, finish_reason in telling.finish_reasons.items():
        whole = finish_reason == "stop"  # one that was cut short or that calls tools promises nothing
        if shape is not None and whole and (problem := shape.violation(telling.answer_of(index))):
            raise AnswerInvalid(f"the answer of {model_id} is not what response_format asks for: {problem}")
    run.finish_reasons = telling.finish_reasons if len(telling.finish_reasons) > 1 else {}
    return telling.finish_reasons.get(0, "stop")


class _Telling:
    """One model's answer on its way to the caller, choice by choice. `silent`: not a token came so far."""

    def __init__(self, run: Run, separator: str | None) -> None:
        self._run = run
        self._separator = separator
        self._splitters: dict[int, AnswerSplitter] = {}
        self._said = ChoiceTexts()
        self.finish_reasons: dict[int, str] = {}
        self.silent = True

    def answer_of(self, index: int) -> str:
        """The text of a choice so far, without the working."""
        return self._said.of(index)

    def take(self, chunk: CallChunk) -> bool:
        """One chunk: word for word where nothing has to be split; a raw delta already holds its reasoning.

        More is wanted until the end.
        """
        if chunk.finish_reason:
            self.finish_reasons[chunk.index] = chunk.finish_reason
        self.silent = self.silent and not (chunk.text or chunk.reasoning or chunk.raw_delta or chunk.raw_event)
        whole = self._separator is None or bool(chunk.raw_delta and chunk.raw_delta.get("tool_calls"))
        if chunk.reasoning and not (whole and chunk.raw_delta is not None):
            self._run.say(ReasoningDelta(chunk.reasoning, chunk.index))
        if not whole:
            self._split(self._splitter_of(chunk.index).push(chunk.text), chunk.index)
        elif chunk.text or any(raw is not None for raw in (chunk.raw_delta, chunk.raw_logprobs, chunk.raw_event)):
            said = ContentDelta(chunk.text, chunk.raw_delta, chunk.raw_logprobs, chunk.index, chunk.raw_event)
            self._say(said)
        return True

    def end(self) -> None:
        """The text is over."""
        for index, splitter in self._splitters.items():
            self._split(splitter.end(), index)

    def _splitter_of(self, index: int) -> AnswerSplitter:
        return self._splitters.setdefault(index, AnswerSplitter(self._separator))

    def _split(self, pieces: Pieces, index: int) -> None:
        if pieces.working:
            self._run.say(ReasoningDelta(pieces.working, index))
        answer = cut_at_stop(pieces.answer, self._run.request.sampling.get("stop"))
        if answer:
            self._say(ContentDelta(answer, index=index))

    def _say(self, delta: ContentDelta) -> None:
        self._said.add(delta.index, delta.text)
        self._run.say(delta)
