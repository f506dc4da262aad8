"""One engine call within a request: reserve → send → settle and record, whatever way it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from appliance.coordinator.accounts import Accounts, Charge, Estimate
from appliance.coordinator.ask import Ask
from appliance.coordinator.budget import NOTHING, Need
from appliance.coordinator.choice_texts import ChoiceTexts
from appliance.coordinator.recorder import Recorder
from appliance.coordinator.trust import check_call
from appliance.dispatch.dispatcher import Dispatcher, Sent
from appliance.domain.journal import CallSent
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, EngineCall, TokenLogprob, Usage
from appliance.domain.trace import CallRecord, Outcome
from appliance.errors import (
    ApplianceError,
    BudgetExhausted,
    ContextTooLong,
    EngineError,
    LimitReached,
    Overloaded,
    RequestError,
)

METERED_CHUNKS = 8
"""A running call's device-seconds are looked at after so many chunks each."""

_REFUSALS = (EngineError, RequestError, Overloaded)
"""Failures that cost no tokens when they come before the first one."""


Hear = Callable[[str], bool]
"""Gets an answer's text as it comes; False: that is enough, the call is aborted."""
Take = Callable[[CallChunk], bool]
"""The same for its chunks. It waits for nothing and raises nothing."""


@dataclass(frozen=True, slots=True)
class CallPurpose:
    """Which role calls for which task. `attempt` counts from 1; `keep` must stay in the budget after it.

    The answer can do without an `optional` call, so it gets a share of the time only. `calls_after` as in
    `CallContext`.
    """

    role: Role
    task_id: str
    attempt: int = 1
    keep: Need = NOTHING
    optional: bool = False
    calls_after: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A call's whole answer."""

    model_id: str
    text: str
    tokens: tuple[TokenLogprob, ...]
    finish_reason: str | None


@dataclass(slots=True)
class _Running:
    """A call on its way, and what is known of it so far. `prompt_tokens` are a guess, times on the caller's clock.

    `texts`: None where contents are not kept.
    """

    call_id: str
    purpose: CallPurpose
    model_id: str
    ask: Ask
    prompt_tokens: int
    estimate: Estimate
    charge: Charge
    started_s: float
    deadline_s: float
    sent: Sent | None = None
    sent_s: float = 0.0
    first_token_s: float | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    pieces: int = 0
    chunks: int = 0
    texts: ChoiceTexts | None = None
    outcome: Outcome = Outcome.ERROR
    error: str = ""
    refused: bool = False

    def take(self, chunk: CallChunk, now_s: float) -> None:
        """Book one chunk."""
        if chunk.text or chunk.reasoning or chunk.logprobs:
            self.first_token_s = now_s - self.sent_s if self.first_token_s is None else self.first_token_s
            self.pieces += len(chunk.logprobs) or 1
        if self.texts is not None:
            self.texts.add(chunk.index, chunk.text)
        self.chunks += 1
        self.usage = chunk.usage or self.usage
        self.finish_reason = chunk.finish_reason or self.finish_reason

    def spent(self) -> tuple[Usage, bool]:
        """The engine's own count, else an estimate (True); nothing for a call that no engine took on."""
        if self.usage is not None:
            return self.usage, False
        if self.sent is None or (self.refused and not self.pieces):
            return Usage(), False
        return Usage(self.prompt_tokens, self.pieces), True


class Caller:
    """Makes the calls of one request. `clock` is monotonic seconds; `gpu_s_of` foresees device-seconds.

    `calls_left` may be set by who knows how many calls the request has yet to end, running ones included.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        accounts: Accounts,
        recorder: Recorder,
        *,
        cache_salt: str,
        labels: frozenset[str],
        policy: str,
        clock: Callable[[], float],
        gpu_s_of: Callable[[Role, str, Ask, int], float],
    ) -> None:
        self._dispatcher = dispatcher
        self._accounts = accounts
        self._budget = accounts.budget
        self._recorder = recorder
        self._cache_salt = cache_salt
        self._labels = labels
        self._policy = policy
        self._clock = clock
        self._gpu_s_of = gpu_s_of
        self._calls = 0
        self.calls_left: int | None = None

    async def complete(self, purpose: CallPurpose, model_id: str, ask: Ask, hear: Hear | None = None) -> Completion:
        """The whole answer of one call; `hear` gets it piece by piece and may end it. Raises as `make`."""
        text: list[str] = []
        tokens: list[TokenLogprob] = []
        finish_reason = None

        def take(chunk: CallChunk) -> bool:
            nonlocal finish_reason
            if chunk.finish_reason:
                finish_reason = chunk.finish_reason
            if chunk.logprobs:
                tokens.extend(chunk.logprobs)
            if not chunk.text:
                return True
            text.append(chunk.text)
            return hear is None or hear(chunk.text)

        await self.make(purpose, model_id, ask, take)
        return Completion(model_id, "".join(text), tuple(tokens), finish_reason)

    async def make(self, purpose: CallPurpose, model_id: str, ask: Ask, take: Take) -> None:
        """One call, made again with a shorter answer where only that did not fit the context.

        Reserve → send → settle and record. Raises BudgetExhausted before it is sent or when its time is up, and what
        the dispatcher raises. `take` is called with each chunk: so no generator stands between the engine and who
        wants it.
        """
        while True:
            try:
                running = self._begun(purpose, model_id, ask)
            except LimitReached as refused:
                if not await self._accounts.more(refused.limit):
                    raise
                running = self._begun(purpose, model_id, ask)
            try:
                async with aclosing(self._sent(running)) as chunks:
                    async for chunk in chunks:
                        running.take(chunk, self._clock())
                        if running.chunks % METERED_CHUNKS == 0:
                            self._meter(running)
                        if not take(chunk):
                            running.outcome = Outcome.CANCELLED
                            return
                running.outcome = Outcome.OK
                return
            except asyncio.CancelledError:
                running.outcome = Outcome.CANCELLED
                raise
            except ApplianceError as failure:
                running.error, running.refused = str(failure), isinstance(failure, _REFUSALS)
                if not (isinstance(failure, ContextTooLong) and ask.can_be_shorter):
                    raise self._in_time(failure, running.deadline_s) from None
                ask = replace(ask, fills_context=True)
            finally:
                self._settle(running)

    def _begun(self, purpose: CallPurpose, model_id: str, ask: Ask) -> _Running:
        """A call that is paid for and not sent yet."""
        check_call(purpose.role, ask)
        started_s = self._clock()
        deadline_s = self._budget.deadline_of(purpose.role, started_s, optional=purpose.optional)
        prompt_tokens = ask.prompt_tokens_estimate
        estimate = self._estimate(purpose.role, model_id, ask, prompt_tokens)
        charge = self._accounts.reserve(
            estimate, purpose.role, started_s, deadline_s, purpose.keep, optional=purpose.optional
        )
        self._calls += 1
        texts = ChoiceTexts() if self._recorder.keep_content else None
        return _Running(
            f"c{self._calls}",
            purpose,
            model_id,
            ask,
            prompt_tokens,
            estimate,
            charge,
            started_s,
            deadline_s,
            texts=texts,
        )

    def _estimate(self, role: Role, model_id: str, ask: Ask, prompt_tokens: int) -> Estimate:
        """A call can't take more than the model's context, and takes all of it at most where nobody bounds it."""
        context_tokens = self._dispatcher.context_tokens(model_id)
        gpu_s, sequences = self._gpu_s_of(role, model_id, ask, prompt_tokens), ask.sequences
        tokens = prompt_tokens + sequences * (ask.max_tokens or 0)
        if context_tokens is None or not ask.endpoint.streamed:
            return Estimate(tokens, tokens, gpu_s)
        context_tokens *= sequences
        bounded = ask.sent_max_tokens is not None and tokens < context_tokens
        return Estimate(tokens, tokens if bounded else context_tokens, gpu_s)

    def _sent(self, running: _Running) -> AsyncGenerator[CallChunk, None]:
        def on_sent(sent: Sent) -> None:
            running.sent, running.sent_s = sent, self._clock()
            self._recorder.sent(self._sending(running, sent))

        identity, ask = self._recorder.identity, running.ask
        context = CallContext(
            request_id=identity.request_id,
            trace_id=identity.trace_id,
            task_id=running.purpose.task_id,
            role=running.purpose.role,
            tenant=identity.tenant,
            priority=0,
            deadline_s=running.deadline_s,
            remaining_tokens=self._budget.remaining_tokens,
            cache_salt=self._cache_salt,
            labels=self._labels,
            policy=self._policy,
            calls_after=running.purpose.calls_after,
            calls_left=self.calls_left,
        )
        call = EngineCall(
            running.model_id, ask.messages, ask.sent_max_tokens, ask.params, endpoint=ask.endpoint, inputs=ask.inputs
        )
        return self._dispatcher.stream(call, context, on_sent)

    def _sending(self, running: _Running, sent: Sent) -> CallSent:
        return CallSent(
            call_id=running.call_id,
            task_id=running.purpose.task_id,
            role=running.purpose.role,
            model_id=running.model_id,
            engine_id=sent.engine_id,
            attempt=running.purpose.attempt,
            started_s=running.started_s - self._budget.started_s,
            queue_s=sent.queue_s,
            prompt_tokens=running.prompt_tokens,
            reserved_tokens=running.estimate.tokens,
        )

    def _in_time(self, failure: ApplianceError, deadline_s: float) -> ApplianceError:
        """A call that the deadline ended, in the line or on the engine, was stopped by the budget."""
        if isinstance(failure, BudgetExhausted):
            return self._budget.exhausted(failure.limit)
        if isinstance(failure, Overloaded) and self._clock() >= deadline_s:
            return self._budget.exhausted("wall_s")
        return failure

    def _meter(self, running: _Running) -> None:
        """Look at the device-seconds; BudgetExhausted when there are too many."""
        if running.sent is not None:
            self._accounts.meter(running.charge, running.sent.receipt.gpu_s(self._clock()))

    def _settle(self, running: _Running) -> None:
        now_s, sent, purpose = self._clock(), running.sent, running.purpose
        usage, estimated = running.spent()
        gpu_s, texts = sent.receipt.gpu_s(now_s) if sent else 0.0, running.texts
        self._accounts.settle(running.charge, usage.total_tokens, gpu_s, now_s, sent=sent is not None)
        self._recorder.call(
            CallRecord(
                call_id=running.call_id,
                task_id=purpose.task_id,
                role=purpose.role,
                model_id=running.model_id,
                engine_id=sent.engine_id if sent else "",
                attempt=purpose.attempt,
                started_s=running.started_s - self._budget.started_s,
                queue_s=sent.queue_s if sent else now_s - running.started_s,
                engine_s=now_s - running.sent_s if sent else 0.0,
                first_token_s=running.first_token_s,
                usage=usage,
                outcome=running.outcome,
                error=running.error,
                prompt=running.ask.prompt_text if texts is not None else None,
                answer=texts.whole if texts is not None else None,
                usage_estimated=estimated,
                gpu_s=gpu_s,
                reserved_tokens=running.estimate.tokens,
                finish_reason=running.finish_reason,
            )
        )
