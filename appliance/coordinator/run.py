"""One request while it is answered: what strategies see of it, and the events that they send to the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.coordinator.accounts import Accounts
from appliance.coordinator.admission import Admission, Tree
from appliance.coordinator.ask import Ask
from appliance.coordinator.budget import Budget
from appliance.coordinator.calls import Caller, CallPurpose, Completion, Hear
from appliance.coordinator.choice_texts import ChoiceTexts
from appliance.coordinator.conversation import as_data, question_of
from appliance.coordinator.event_line import EventLine
from appliance.coordinator.fitting import Direct
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.plan_place import Given
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.recorder import Recorder
from appliance.coordinator.trust import withheld, without_results
from appliance.domain.forecast import Reduction
from appliance.domain.model import Role
from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, ReasoningDelta
from appliance.domain.trace import Decision
from appliance.errors import ApplianceError, EngineError, Overloaded, RequestError

MODEL_FAILURES = (EngineError, Overloaded, RequestError)
"""Another model of the same role may do better."""

AskFor = Callable[[PromptSet], Ask]

ModelFailure = tuple[str, ApplianceError]
"""A model, and why it gave no answer."""


class RoleFailed(ApplianceError):
    """No model of a role could do its work. Stays inside the coordinator, which falls back or raises `cause`."""

    def __init__(self, role: Role, reason: str, cause: ApplianceError | None = None) -> None:
        super().__init__(f"{role.value}: {reason}")
        self.role = role
        self.reason = reason
        self.cause = cause


@dataclass(slots=True)
class Run:
    """One request. `prompt_sets` has one entry per model of the pool."""

    request: ChatRequest
    options: CoordinatorOptions
    prompt_sets: Mapping[str, PromptSet]
    accounts: Accounts
    recorder: Recorder
    caller: Caller
    admission: Admission
    tree: Tree
    answer: ChoiceTexts = field(default_factory=ChoiceTexts)
    answer_begun: bool = False
    said_reason: str | None = None
    """Why the answer ended, where a task's result was said as the answer while it was made."""
    finish_reasons: dict[int, str] = field(default_factory=dict)
    """Why each choice ended, where several were asked for."""
    _held: list[ContentDelta] = field(default_factory=list)
    _events: EventLine[AnswerEvent] = field(default_factory=EventLine)

    @property
    def budget(self) -> Budget:
        """The account of this request."""
        return self.accounts.budget

    @property
    def question(self) -> str:
        """The last message."""
        return question_of(self.request.messages)

    @property
    def history(self) -> tuple[Mapping[str, str], ...]:
        """The messages before it, to be quoted as data."""
        return as_data(self.request.messages)

    @property
    def planners_history(self) -> tuple[Mapping[str, str], ...]:
        """The same for planners, who read no results of tools."""
        return as_data(without_results(self.request.messages))

    @property
    def given(self) -> Mapping[str, Given]:
        """What planners don't read, by the names under which the tasks of their plans may need it."""
        return {name: Given(name, text) for name, text in withheld(self.request).items()}

    @property
    def seed_base(self) -> int | str:
        """What seeds are derived from: the caller's seed, else the question, so that a replay draws the same."""
        seed = self.request.sampling.get("seed")
        return seed if isinstance(seed, int) else self.question

    def bounded(self, max_tokens: int) -> int:
        """The longest final answer: the role's limit, or less where the caller wants less."""
        return min(max_tokens, self.request.max_tokens or max_tokens)

    def admitted(self, decision: Decision) -> Decision:
        """The decision, or the smaller one that fits now; its options hold from here on."""
        found = self.admission.admit(self.tree, decision, self.options, self.accounts)
        self._reduce(found.options, found.steps)
        return found.decision

    def plan_known(self, tasks: int) -> None:
        """The plan has so many tasks: it goes on as far as it fits. RoleFailed where not even first attempts do."""
        found = self.admission.plan_known(self.tree, tasks, self.options, self.accounts)
        self._reduce(self.options if isinstance(found, Direct) else found.options, found.steps)
        if isinstance(found, Direct):
            raise RoleFailed(Role.PLANNER, f"the plan does not fit: {found.steps[-1].reason}")

    def _reduce(self, options: CoordinatorOptions, steps: Sequence[Reduction]) -> None:
        self.options = options
        for left_out in steps:
            self.leave_out(left_out)

    def leave_out(self, reduction: Reduction) -> None:
        """Say, once, that a part of the whole plan is not done."""
        if reduction not in self.recorder.reduced:
            self.recorder.left_out(reduction)
            self.progress(f"reduced: {reduction.step} ({reduction.reason})")

    def say(self, delta: ReasoningDelta | ContentDelta) -> None:
        """Send a piece of working or of the answer to the caller; an answer that is not streamed waits for its end."""
        if isinstance(delta, ContentDelta):
            self.answer.add(delta.index, delta.text)
            if not self.request.streamed:
                self._held.append(delta)
                return
            self.answer_begun = True
        self._events.put(delta)

    def withdraw(self) -> bool:
        """Forget the answer so far; False where the caller has read some of it."""
        if self.answer_begun:
            return False
        self.answer.clear()
        self._held.clear()
        return True

    def release(self) -> None:
        """The answer is whole: send what was held back."""
        self.answer_begun = bool(self._held) or self.answer_begun
        for delta in self._held:
            self._events.put(delta)
        self._held.clear()

    def progress(self, line: str) -> None:
        """Tell the caller how far things are, if it wants to know."""
        if self.request.show_progress:
            self._events.put(ReasoningDelta(f"{line}\n"))

    def end(self) -> None:
        """There are no more events."""
        self._events.end()

    def events(self) -> AsyncGenerator[AnswerEvent, None]:
        """What was said, as it is said, until the end."""
        return self._events.read()

    async def complete(
        self,
        purpose: CallPurpose,
        models: tuple[str, ...],
        ask_for: AskFor,
        hear_anew: Callable[[], Hear] | None = None,
    ) -> Completion:
        """The answer of the first of `models` that gives one. Raises RoleFailed and BudgetExhausted.

        `hear_anew` is asked, each time a model begins, who hears its answer while it comes.
        """
        failures: list[ModelFailure] = []
        for model_id in models:
            try:
                ask = ask_for(self.prompt_sets[model_id])
                return await self.caller.complete(purpose, model_id, ask, hear_anew() if hear_anew else None)
            except MODEL_FAILURES as failure:
                failures.append((model_id, failure))
        raise role_failed(purpose.role, failures)


def role_failed(role: Role, failures: list[ModelFailure]) -> RoleFailed:
    """None of the models that were asked could do the role's work."""
    if not failures:
        return RoleFailed(role, "no model is configured")
    reasons = "; ".join(f"{model_id}: {failure}" for model_id, failure in failures)
    return RoleFailed(role, reasons, failures[-1][1])
