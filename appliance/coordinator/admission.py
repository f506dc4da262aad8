"""Admission of whole requests: reckon the tree, hold room for all of it, or choose the declared smaller plan.

It looks twice: at the decision, from the forecast, and when the plan is complete, with its number of tasks. Between
looking and holding nothing is awaited, so two requests never get the same room. What requests took is learned here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.coordinator.accounts import Accounts
from appliance.coordinator.ask import Ask
from appliance.coordinator.budget import TEAM_SHARE, Budget
from appliance.coordinator.fitting import DIRECT_STEP, Capacity, Direct, Full, Load, Means, Reduced, Rung, fit
from appliance.coordinator.forecast import Expected, Question, Rooms, expect, forecast
from appliance.coordinator.ladder import rungs
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.pool_account import PoolAccount
from appliance.coordinator.statistics import ModelPrior, Statistics
from appliance.domain.fleet import ModelRoom
from appliance.domain.forecast import Forecast, Reduction
from appliance.domain.model import Role
from appliance.domain.request import ChatRequest
from appliance.domain.strategy import DIRECT, PASSTHROUGH
from appliance.domain.trace import Decision, Trace

RoomOf = Callable[[str], ModelRoom]

_ONE_CALL = (DIRECT, PASSTHROUGH)
_TRUSTED_REQUESTS = 5
"""Before so many of a strategy, its expected seconds are guesses and turn nothing down."""
_TRUSTED_CALLS = 3
"""Before so many of a model, its device-seconds are guesses: nothing is reserved, the meter alone holds the limit."""


@dataclass(slots=True)
class Tree:
    """What is held for one request, and what was expected of it last: None before it is admitted."""

    question: Question
    held_tokens: Mapping[str, int] = field(default_factory=dict)
    expected: Expected | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """How a request goes on: its decision, the options under which it fits, what they leave out beside earlier ones."""

    decision: Decision
    options: CoordinatorOptions
    steps: tuple[Reduction, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Of one rung: the options under it, and what it is expected to take."""

    options: CoordinatorOptions
    expected: Expected


class Admission:
    """The accountant of one coordinator: all on its event loop.

    `room_of` tells what there is of a model now, `devices_of` those of one of its engines, `clock` is that of the
    accounts.
    """

    def __init__(
        self,
        room_of: RoomOf,
        devices_of: Callable[[str], int],
        priors: Mapping[str, ModelPrior],
        clock: Callable[[], float],
    ) -> None:
        self._room_of = room_of
        self._devices_of = devices_of
        self._clock = clock
        self._statistics = Statistics(priors)
        self._pool = PoolAccount()

    @property
    def held_tokens(self) -> Mapping[str, int]:
        """KV tokens that requests hold, by model."""
        return self._pool.held

    def tree(self, request: ChatRequest, options: CoordinatorOptions) -> Tree:
        """For one new request, which holds nothing yet."""
        named = request.model != options.virtual_model
        chars = sum(len(message.content) for message in request.messages)
        model = request.model if named else options.roles.generalist[0]
        return Tree(Question(chars, request.max_tokens, model))

    def admit(self, tree: Tree, decision: Decision, options: CoordinatorOptions, accounts: Accounts) -> Admitted:
        """The decision, or the smaller one that fits now; its room is held."""
        admitted, expected = self._fitting(tree.question, decision, options, accounts)
        self._hold(tree, expected, accounts)
        return admitted

    def plan_known(self, tree: Tree, tasks: int, options: CoordinatorOptions, accounts: Accounts) -> Admitted | Direct:
        """The same again with the real number of tasks; Direct where not even their first attempts can be made."""
        assert tree.expected is not None, "a request is admitted before it plans"
        budget, strategy = accounts.budget, tree.expected.strategy
        left = budget.limits.calls - budget.used_calls
        if tasks > left:
            return Direct((Reduction(DIRECT_STEP, f"{tasks} tasks need a call each, the request has {left} left"),))
        self.close(tree)
        verdict, last = self._fit(tree.question, strategy, options, accounts, tasks)
        # The plan is made and paid for: where nothing fits, the smallest team is tried before all is thrown away.
        steps = () if isinstance(verdict, Full) else verdict.steps
        self._hold(tree, last.expected, accounts)
        return Admitted(Decision(strategy, ()), last.options, steps[:-1] if isinstance(verdict, Direct) else steps)

    def preview(self, tree: Tree, decision: Decision, options: CoordinatorOptions, accounts: Accounts) -> Forecast:
        """What would happen now. Nothing is held."""
        admitted, expected = self._fitting(tree.question, decision, options, accounts)
        return forecast(expected, self._statistics, admitted.decision, admitted.steps)

    def close(self, tree: Tree) -> None:
        """The request is over: its room is free."""
        self._pool.release(tree.held_tokens)
        tree.held_tokens = {}

    def learn(self, tree: Tree, trace: Trace) -> None:
        """What it took."""
        devices = {model_id: self._devices_of(model_id) for model_id in {call.model_id for call in trace.calls}}
        expected = tree.expected.metrics() if tree.expected is not None else {}
        self._statistics.learn(trace, tree.question.chars, devices, expected)

    def gpu_s_of(self, role: Role, model_id: str, ask: Ask, prompt_tokens: int) -> float:
        """Device-seconds that one call should take; 0 as long as nobody knows. `prompt_tokens` as estimated."""
        figures = self._statistics.model(model_id)
        if figures.share.seen < _TRUSTED_CALLS:
            return 0.0
        prompt = prompt_tokens / 2  # the estimate is on the high side, two characters a token
        completion = self._statistics.calls_of(role, model_id).completion_tokens.value
        if ask.max_tokens and ask.max_tokens < completion:
            completion = ask.max_tokens
        seconds = figures.seconds(prompt, completion)
        return seconds * figures.share.value * self._devices_of(model_id)

    def _fitting(
        self, question: Question, decision: Decision, options: CoordinatorOptions, accounts: Accounts
    ) -> tuple[Admitted, Expected]:
        if decision.strategy in _ONE_CALL:
            return Admitted(decision, options, ()), self._expect(question, decision.strategy, options)
        verdict, last = self._fit(question, decision.strategy, options, accounts)
        if isinstance(verdict, Direct):
            short = f"the whole tree of {decision.strategy} does not fit: {verdict.steps[-1].reason}"
            direct = Decision(DIRECT, (*decision.reasons, short))
            return Admitted(direct, options, verdict.steps), self._expect(question, DIRECT, options)
        steps = verdict.steps if isinstance(verdict, Reduced) else ()
        return Admitted(decision, last.options, steps), last.expected

    def _fit(
        self,
        question: Question,
        strategy: str,
        options: CoordinatorOptions,
        accounts: Accounts,
        tasks: int | None = None,
    ) -> tuple[Full | Reduced | Direct, _Candidate]:
        """The verdict, and the last rung that was looked at: the one that fits, or the smallest where none does.

        A rung is reckoned when it is its turn: most requests fit as a whole.
        """
        rooms, looked_at = self._rooms(question, options), list[_Candidate]()
        kv_tokens: dict[str, int] = {}

        def each() -> Iterator[Rung]:
            for step, reduced in rungs(strategy, options):
                expected = expect(question, strategy, reduced, self._statistics, rooms, tasks)
                for model_id in expected.kv_tokens:
                    room = rooms.get(model_id) or self._room_of(model_id)
                    if room.kv_tokens is not None:
                        kv_tokens[model_id] = room.kv_tokens
                looked_at.append(_Candidate(reduced, expected))
                yield Rung(step, self._load(expected, reduced))

        verdict = fit(each(), self._means(accounts), Capacity(kv_tokens, self._pool.held))
        return verdict, looked_at[-1]

    def _expect(self, question: Question, strategy: str, options: CoordinatorOptions) -> Expected:
        return expect(question, strategy, options, self._statistics, self._rooms(question, options))

    def _rooms(self, question: Question, options: CoordinatorOptions) -> Rooms:
        """What there is now of every model that may be used."""
        return {model_id: self._room_of(model_id) for model_id in {question.model, *options.roles.models}}

    def _load(self, expected: Expected, options: CoordinatorOptions) -> Load:
        """What is expected, and room for the reservations of the calls that may run at once."""
        trusted = self._statistics.strategy(expected.strategy).requests >= _TRUSTED_REQUESTS
        seconds = expected.seconds + expected.queue_s if trusted else 0.0
        gpu_s = expected.gpu_s if trusted else 0.0
        tokens = expected.tokens + _headroom(expected, options)
        return Load(round(expected.count), tokens, gpu_s, seconds, expected.kv_tokens)

    def _means(self, accounts: Accounts) -> Sequence[Means]:
        now_s, tenant = self._clock(), accounts.tenant
        (tokens, gpu_s), (kept_tokens, kept_gpu_s) = tenant.room(now_s), tenant.kept
        return (
            _request_means(accounts.budget, now_s),
            Means("the tenant", tokens=tokens + kept_tokens, gpu_s=gpu_s + kept_gpu_s),
        )

    def _hold(self, tree: Tree, expected: Expected, accounts: Accounts) -> None:
        tree.expected, tree.held_tokens = expected, expected.kv_tokens
        self._pool.hold(tree.held_tokens)
        budget, tenant = accounts.budget, accounts.tenant
        (tokens, gpu_s), (kept_tokens, kept_gpu_s) = tenant.room(self._clock()), tenant.kept
        tenant.keep(
            max(0.0, min(tokens, expected.tokens - budget.used_tokens - kept_tokens)),
            max(0.0, min(gpu_s, expected.gpu_s - budget.used_gpu_s - kept_gpu_s)),
        )


def _request_means(budget: Budget, now_s: float) -> Means:
    limits = budget.limits
    return Means(
        "the request",
        calls=limits.calls,
        tokens=limits.tokens,
        gpu_s=budget.gpu_limit_of(Role.PLANNER),
        seconds=TEAM_SHARE * limits.wall_s - (now_s - budget.started_s),
    )


def _headroom(expected: Expected, options: CoordinatorOptions) -> float:
    """A call reserves its longest answer, and its prompt at two characters a token: more than it will use.

    Half of a plan's tasks are thought to run at once.
    """
    spare, half = 0.0, expected.tasks / 2
    for call in expected.calls:
        at_once = half if half < call.calls else call.calls
        longest = options.sampling_of(call.role).max_tokens - call.completion_tokens + call.prompt_tokens
        wanted = longest * (at_once if at_once > 1.0 else 1.0)
        if wanted > spare:
            spare = wanted
    return spare
