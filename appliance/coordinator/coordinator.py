"""One chat request, start to end: route → answer → fall back where that fails → save the trace."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache, partial
from typing import Protocol

from appliance.access.limits import Limits
from appliance.coordinator.accounts import Accounts
from appliance.coordinator.admission import Admission
from appliance.coordinator.budget import Budget
from appliance.coordinator.calls import Caller
from appliance.coordinator.casting import check_offered, check_roles, recast
from appliance.coordinator.embedding import NOT_EMBEDDED, Embedded, embedded
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.permission import permitted
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.recorder import Identity, Recorder
from appliance.coordinator.router import Router, no_head
from appliance.coordinator.run import RoleFailed, Run
from appliance.coordinator.statistics import ModelPrior
from appliance.coordinator.strategies.strategy import Strategy
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.forecast import Forecast
from appliance.domain.journal import NO_JOURNAL, Journal, RequestBegun
from appliance.domain.model import Role
from appliance.domain.policy import OPEN, DataPolicy
from appliance.domain.request import UNRELATED, AnswerEvent, ChatRequest, Effort, Finished, Origin
from appliance.domain.strategy import DIRECT, PASSTHROUGH, HeadChoice
from appliance.domain.tenant import Tenant
from appliance.domain.trace import BudgetRecord, Decision, Outcome, Trace
from appliance.errors import (
    ApplianceError,
    BudgetExhausted,
    EngineUnavailable,
    InvalidRequest,
    Overloaded,
    UnknownModel,
)

logger = logging.getLogger(__name__)

_GRACE_S = 1.0
"""Engines end their calls at the deadline; what still runs this long after it is cancelled from here."""


class TraceSink(Protocol):
    """Where traces go. Whoever reads after `save` was called finds the trace, even where that has not returned yet."""

    async def save(self, trace: Trace) -> None:
        """Store one trace."""


class Learned(Protocol):
    """What the coordinator needs of `learning.chooser.LearnedChooser`."""

    @property
    def embedder(self) -> str:
        """The model whose embedding of a prompt it takes; empty: none."""

    @property
    def embed_timeout_s(self) -> float:
        """How long that embedding may take."""

    def embedded(self, text: str) -> str:
        """What of a prompt is to be embedded."""

    def choose(
        self, text: str, strategies: Collection[str], embedding: Sequence[float] = (), *, live: bool = True
    ) -> HeadChoice | None:
        """A strategy among those that can be had; None where the head says nothing."""

    def ended(self, *, well: bool) -> None:
        """An answer that the head chose has ended."""


class Coordinator:
    """Answers chat requests; one instance serves all of them, on one event loop.

    `prompt_sets` has one entry per model of the pool and thereby names the known models. `strategies` has at least
    `direct`, `passthrough` and what the router may choose (`default_strategies()` has all). `salt_secret` keys the
    prefix-cache salt of each tenant. `clock` is monotonic seconds and the same clock as the dispatcher's and the
    event loop's; `wall_clock` is Unix seconds. `learned` chooses where no rule does. Raises ConfigError when a role's
    model can't play it.
    """

    def __init__(
        self,
        options: CoordinatorOptions,
        prompt_sets: Mapping[str, PromptSet],
        dispatcher: Dispatcher,
        traces: TraceSink,
        strategies: Mapping[str, Strategy],
        *,
        salt_secret: bytes,
        policy: DataPolicy = OPEN,
        limits: Limits | None = None,
        priors: Mapping[str, ModelPrior] | None = None,
        journal: Journal = NO_JOURNAL,
        learned: Learned | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        check_roles(options.roles, prompt_sets)
        self._options = {effort: options.at(effort) for effort in Effort}
        self._routers = {effort: Router(at, strategies) for effort, at in self._options.items()}
        self._virtual_model = options.virtual_model
        self._prompt_sets = prompt_sets
        self._dispatcher = dispatcher
        self._traces = traces
        self._strategies = strategies
        self._salt_secret = salt_secret
        self._policy = policy
        self._journal = journal
        self._learned = learned
        self._clock = clock
        self._wall_clock = wall_clock
        self.limits = Limits(policy) if limits is None else limits
        self.admission = Admission(dispatcher.room, dispatcher.devices, priors or {}, clock)
        self._running: set[asyncio.Task[Finished]] = set()
        self._saves: set[asyncio.Task[None]] = set()

    async def answer(
        self,
        request: ChatRequest,
        *,
        request_id: str,
        trace_id: str,
        tenant: Tenant,
        origin: Origin = UNRELATED,
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the events of the answer, `Finished` last; its trace is with the sink by then.

        Raises RequestError, EngineError, BudgetExhausted and Overloaded, after the events that came before. Closing
        it cancels every call below; the trace is saved in that case too.
        """
        identity = Identity(trace_id, request_id, tenant.name, request.model, self._wall_clock(), origin)
        run = self._open(request, tenant, identity, self._journal)
        work = asyncio.create_task(self._work(run), name=f"request {request_id}")
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        work.add_done_callback(lambda _: run.end())
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event
            yield await work
        finally:
            await _ended(work)

    def forecast(self, request: ChatRequest, *, tenant: Tenant) -> Forecast:
        """How the request would be answered now, and what that takes; nothing runs. Raises RequestError."""
        identity = Identity("", "", tenant.name, request.model, self._wall_clock())
        run = self._open(request, tenant, identity, NO_JOURNAL)
        return self.admission.preview(run.tree, self._decide(run, NOT_EMBEDDED, live=False), run.options, run.accounts)

    async def close(self) -> None:
        """Cancel what runs and wait until its traces are saved."""
        await asyncio.gather(*(_ended(work) for work in tuple(self._running)))
        await asyncio.gather(*self._saves)

    def _open(self, request: ChatRequest, tenant: Tenant, identity: Identity, journal: Journal) -> Run:
        granted = permitted(self._policy, tenant, request, named=request.model in self._prompt_sets)
        request, identity = granted.request, granted.kept(identity)
        options, started_s = self._options_of(request, granted.strategies), self._clock()
        limits = options.budget if request.model == self._virtual_model else options.passthrough_budget
        budget = Budget(limits.lowered(request.budget), started_s)
        recorder = Recorder(identity, granted.keep_content)
        accounts = Accounts(budget, self.limits.account(tenant).request(), self.limits)
        caller = Caller(
            self._dispatcher,
            accounts,
            recorder,
            cache_salt=_salt(self._salt_secret, tenant.name),
            labels=frozenset(request.labels),
            policy=tenant.policy,
            clock=self._clock,
            gpu_s_of=self.admission.gpu_s_of,
        )
        tree = self.admission.tree(request, options)
        recorder.page = journal.begin(
            _begun(identity, budget.record(started_s), request if granted.keep_content else None)
        )
        for clipped in granted.clipped:
            recorder.left_out(clipped)
        return Run(request, options, self._prompt_sets, accounts, recorder, caller, self.admission, tree)

    def _options_of(self, request: ChatRequest, strategies: frozenset[str] | None) -> CoordinatorOptions:
        """Those of its effort, with the models that it wants in roles and the strategies that its policy allows."""
        options = self._options[request.effort]
        if strategies is not None:
            options = options.within(strategies)
        if not request.model_for:
            return options
        if not options.allow_choice:
            raise InvalidRequest(
                "model_for: callers may not choose here; leave it out, or set coordinator.allow_choice",
                param="model_for",
            )
        return replace(options, roles=recast(options.roles, request.model_for, self._prompt_sets))

    async def _work(self, run: Run) -> Finished:
        """Answer, and save the trace whatever way that ends; a good answer does not wait for the disk."""
        outcome, error = Outcome.ERROR, ""
        try:
            await run.accounts.enter(self._clock)
            strategy, finish_reason = await self._answered_in_time(run)
            run.release()
            outcome = Outcome.OK
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED
            raise
        except ApplianceError as failure:
            error, failure.costly = str(failure), _cost_much(run)
            raise
        except Exception as failure:  # a mistake of ours; it is raised again, the trace tells its kind
            error = type(failure).__name__
            raise
        finally:
            run.admission.close(run.tree)
            run.accounts.tenant.leave(self._clock())
            saving = self._saving(run, outcome, error)
            if outcome is not Outcome.OK:
                await asyncio.shield(saving)
        return _finished(run, strategy, finish_reason)

    async def _answered_in_time(self, run: Run) -> tuple[str, str]:
        try:
            async with asyncio.timeout(run.budget.limits.wall_s + _GRACE_S):
                with self._dispatcher.opened(run.recorder.identity.request_id):
                    return await self._answered(run)
        except TimeoutError:
            raise run.budget.exhausted("wall_s") from None

    async def _answered(self, run: Run) -> tuple[str, str]:
        """The strategy that answered and the finish reason."""
        decision = self._decide(run, await self._embedded(run))
        decision = run.admitted(decision)
        if decision.strategy == DIRECT and not run.options.permits(DIRECT):
            raise Overloaded(f"{decision.reasons[-1]}; the policy does not allow {DIRECT}", retry_after_s=1.0)
        run.recorder.decided(decision)
        if decision.strategy not in (DIRECT, PASSTHROUGH):
            run.progress(f"orchestrating: {decision.strategy}")
        try:
            return decision.strategy, await self._strategies[decision.strategy].answer(run)
        except (RoleFailed, BudgetExhausted) as failure:
            last_resort = decision.strategy in (DIRECT, PASSTHROUGH) or not run.options.permits(DIRECT)
            if last_resort or not run.withdraw():
                raise _for_caller(failure) from failure
            return DIRECT, await self._fall_back(run, failure)

    async def _embedded(self, run: Run) -> Embedded:
        """The prompt's embedding, where a learned head takes one and is to be asked."""
        head, request = self._learned, run.request
        if head is None or not head.embedder or request.model != self._virtual_model:
            return NOT_EMBEDDED
        if not self._router_of(run).asks_head(request, run.recorder.identity.tenant):
            return NOT_EMBEDDED
        return await embedded(run, head.embedder, head.embedded(request.messages[-1].content), head.embed_timeout_s)

    def _router_of(self, run: Run) -> Router:
        own = run.request.model_for or run.options.permitted is not None
        return Router(run.options, self._strategies) if own else self._routers[run.request.effort]

    def _decide(self, run: Run, prompt: Embedded, *, live: bool = True) -> Decision:
        request = run.request
        if request.model != self._virtual_model and request.model not in self._prompt_sets:
            known = ", ".join((self._virtual_model, *sorted(self._prompt_sets)))
            raise UnknownModel(f"there is no model {request.model!r} here; known: {known}", param="model")
        check_offered(request, run.options)
        if request.model == self._virtual_model:
            head = self._learned
            suggest = no_head if head is None else partial(head.choose, embedding=prompt.vector, live=live)
            decision = self._router_of(run).decide(request, run.recorder.identity.tenant, suggest)
            return replace(decision, reasons=(*decision.reasons, prompt.note)) if prompt.note else decision
        for name, what, chosen in (
            ("strategy", "strategies", request.strategy is not None),
            ("model_for", "roles", bool(request.model_for)),
        ):
            if chosen:
                raise InvalidRequest(f"{name}: only {self._virtual_model} has {what}; leave it out", param=name)
        return Decision(PASSTHROUGH, ("the caller named the model",))

    async def _fall_back(self, run: Run, failure: RoleFailed | BudgetExhausted) -> str:
        """The best single model answers instead."""
        role, reason = (
            (failure.role, failure.reason) if isinstance(failure, RoleFailed) else (Role.GENERALIST, str(failure))
        )
        run.recorder.fallback(role, reason, "the generalist answers directly")
        run.progress("falling back: the generalist answers directly")
        run.caller.calls_left = 1
        try:
            return await self._strategies[DIRECT].answer(run)
        except RoleFailed as last:
            raise _for_caller(last) from last

    def _saving(self, run: Run, outcome: Outcome, error: str) -> asyncio.Task[None]:
        saving = asyncio.create_task(self._save(run, outcome, error))
        self._saves.add(saving)
        saving.add_done_callback(self._saves.discard)
        return saving

    async def _save(self, run: Run, outcome: Outcome, error: str) -> None:
        """A trace that can't be saved must not take the answer with it."""
        answer = run.answer.whole or None
        record = run.budget.record(self._clock())
        trace = run.recorder.trace(record, outcome, error, run.question, answer, run.request)
        if run.request.endpoint.streamed:  # what makes no text says nothing of what text takes
            self.admission.learn(run.tree, trace)
        if self._learned is not None and trace.decision.head_decided:
            self._learned.ended(well=outcome is not Outcome.ERROR and not trace.fallbacks)
        run.recorder.ended(trace)
        try:
            await self._traces.save(trace)
            run.recorder.page.tear_out()
        except Exception as failure:  # whatever the sink raises: the answer was given
            logger.error("trace %s was not saved: %s", trace.trace_id, type(failure).__name__)


@lru_cache(maxsize=1024)
def _salt(secret: bytes, tenant: str) -> str:
    """Of a tenant's prefix caches."""
    return hmac.new(secret, tenant.encode(), hashlib.sha256).hexdigest()


async def _ended(work: asyncio.Task[Finished]) -> None:
    """Cancel the work of a request unless it is over, and wait for its end; its outcome was told elsewhere."""
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
    if not work.cancelled():
        work.exception()


def _begun(identity: Identity, budget: BudgetRecord, request: ChatRequest | None) -> RequestBegun:
    return RequestBegun(
        trace_id=identity.trace_id,
        request_id=identity.request_id,
        tenant=identity.tenant,
        requested_model=identity.requested_model,
        created_unix_s=identity.created_unix_s,
        budget=budget,
        origin=identity.origin,
        request=request,
        delete_after_unix_s=identity.delete_after_unix_s,
    )


def _cost_much(run: Run) -> bool:
    """More than one call's worth: a team had begun to work."""
    return run.recorder.decision.strategy not in (DIRECT, PASSTHROUGH) and run.budget.used_tokens > 0


def _finished(run: Run, strategy: str, finish_reason: str) -> Finished:
    recorder, tallies = run.recorder, run.recorder.tallies()
    return Finished(
        finish_reason=finish_reason,
        usage=tallies.whole.usage,
        trace_id=recorder.identity.trace_id,
        strategy=strategy,
        calls=run.budget.used_calls,
        usage_by_role={role.value: tally.usage for role, tally in tallies.by_role.items()},
        usage_by_model={model_id: tally.usage for model_id, tally in tallies.by_model.items()},
        gpu_s=tallies.whole.gpu_s,
        gpu_s_by_role={role.value: tally.gpu_s for role, tally in tallies.by_role.items()},
        gpu_s_by_model={model_id: tally.gpu_s for model_id, tally in tallies.by_model.items()},
        reduced=tuple(recorder.reduced),
        finish_reasons=dict(run.finish_reasons),
    )


def _for_caller(failure: ApplianceError) -> ApplianceError:
    """What the caller is told: the engine's own error, not which role met it."""
    if not isinstance(failure, RoleFailed):
        return failure
    return failure.cause or EngineUnavailable(f"no answer could be given ({failure})")
