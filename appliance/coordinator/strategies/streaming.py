"""Streams one call's answer to the caller: working as reasoning, the rest as content."""

from __future__ import annotations

from contextlib import aclosing

from appliance.coordinator.answer_shape import shape_of
from appliance.coordinator.answer_text import AnswerSplitter, Pieces
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.final_answer import cut_at_stop
from appliance.coordinator.run import AskFor, RoleFailed, Run
from appliance.domain.request import CallChunk, ContentDelta, ReasoningDelta
from appliance.errors import AnswerInvalid


async def stream_answer(
    run: Run, purpose: CallPurpose, models: tuple[str, ...], ask_for: AskFor, *, verbatim: bool = False
) -> str:
    """Say the answer of the first of `models` that begins one; returns its finish reason.

    `verbatim` leaves working and answer as one, as a caller who named the model wants it. Otherwise the answer has to
    be of the form that `response_format` promises. A streamed answer is out by the time that this can be seen, so
    AnswerInvalid ends it; one that is not streamed is held back until then, and the next model gets its try. Raises as
    `Run.stream`.
    """
    shape = None if verbatim else shape_of(run.request.sampling.get("response_format"))
    while True:
        telling = _Telling(run, verbatim=verbatim, held=shape is not None and not run.request.streamed)
        async with aclosing(run.stream(purpose, models, ask_for)) as chunks:
            async for model_id, chunk in chunks:
                telling.take(model_id, chunk)
        telling.end()
        whole = telling.finish_reason == "stop"  # one that was cut short or that calls tools promises nothing
        problem = shape.violation(telling.answer) if shape is not None and whole else ""
        if not problem:
            telling.release()
            return telling.finish_reason
        invalid = AnswerInvalid(f"the answer of {telling.model_id} is not what response_format asks for: {problem}")
        if run.answer_begun:
            raise invalid
        models = models[models.index(telling.model_id) + 1 :]
        if not models:
            raise RoleFailed(purpose.role, str(invalid), invalid)
        run.recorder.fallback(purpose.role, str(invalid), "the next model answers")


class _Telling:
    """One model's answer on its way to the caller, or, while it is `held`, gathered."""

    def __init__(self, run: Run, *, verbatim: bool, held: bool) -> None:
        self._run = run
        self._verbatim = verbatim
        self._held: list[ContentDelta] | None = [] if held else None
        self._splitter = AnswerSplitter(None)
        self._said: list[str] = []
        self.model_id = ""
        self.finish_reason = "stop"

    @property
    def answer(self) -> str:
        """The text so far, without the working."""
        return "".join(self._said)

    def take(self, model_id: str, chunk: CallChunk) -> None:
        """One chunk: word for word where nothing has to be split; a raw delta already holds its reasoning."""
        if model_id != self.model_id:
            self.model_id = model_id
            separator = None if self._verbatim else self._run.prompt_sets[model_id].answer_separator
            self._splitter = AnswerSplitter(separator)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        whole = self._splitter.separator is None or bool(chunk.raw_delta and chunk.raw_delta.get("tool_calls"))
        if chunk.reasoning and not (whole and chunk.raw_delta is not None):
            self._run.say(ReasoningDelta(chunk.reasoning))
        if not whole:
            self._split(self._splitter.push(chunk.text))
        elif chunk.text or chunk.raw_delta is not None or chunk.raw_logprobs is not None:
            self._say(ContentDelta(chunk.text, chunk.raw_delta, chunk.raw_logprobs))

    def end(self) -> None:
        """The text is over."""
        self._split(self._splitter.end())

    def release(self) -> None:
        """Say what was held back."""
        for delta in self._held or ():
            self._run.say(delta)

    def _split(self, pieces: Pieces) -> None:
        if pieces.working:
            self._run.say(ReasoningDelta(pieces.working))
        answer = cut_at_stop(pieces.answer, self._run.request.sampling.get("stop"))
        if answer:
            self._say(ContentDelta(answer))

    def _say(self, delta: ContentDelta) -> None:
        self._said.append(delta.text)
        if self._held is None:
            self._run.say(delta)
        else:
            self._held.append(delta)
