"""Streams one call's answer to the caller: working as reasoning, the rest as content."""

from __future__ import annotations

from contextlib import aclosing

from appliance.coordinator.answer_text import AnswerSplitter, Pieces
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.run import AskFor, Run
from appliance.domain.request import CallChunk, ContentDelta, ReasoningDelta


async def stream_answer(
    run: Run, purpose: CallPurpose, models: tuple[str, ...], ask_for: AskFor, *, verbatim: bool = False
) -> str:
    """Say the answer of the first of `models` that begins one; returns its finish reason.

    `verbatim` leaves working and answer as one, as a caller who named the model wants it. Raises as `Run.stream`.
    """
    finish_reason, splitter = "stop", AnswerSplitter(None)
    answering = ""
    async with aclosing(run.stream(purpose, models, ask_for)) as chunks:
        async for model_id, chunk in chunks:
            if model_id != answering:
                answering = model_id
                splitter = AnswerSplitter(None if verbatim else run.prompt_sets[model_id].answer_separator)
            _say(run, splitter, chunk)
            finish_reason = chunk.finish_reason or finish_reason
    _say_pieces(run, splitter.end())
    return finish_reason


def _say(run: Run, splitter: AnswerSplitter, chunk: CallChunk) -> None:
    """One chunk: word for word where nothing has to be split; a raw delta already holds its reasoning."""
    if splitter.separator is None:
        if chunk.raw_delta is None and chunk.reasoning:
            run.say(ReasoningDelta(chunk.reasoning))
        if chunk.text or chunk.raw_delta is not None or chunk.raw_logprobs is not None:
            run.say(ContentDelta(chunk.text, chunk.raw_delta, chunk.raw_logprobs))
        return
    if chunk.reasoning:
        run.say(ReasoningDelta(chunk.reasoning))
    _say_pieces(run, splitter.push(chunk.text))


def _say_pieces(run: Run, pieces: Pieces) -> None:
    if pieces.working:
        run.say(ReasoningDelta(pieces.working))
    if pieces.answer:
        run.say(ContentDelta(pieces.answer))
