"""Puts a suite to its targets: interleaved, several at once, seeded, and able to go on where it was stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from appliance.errors import ApplianceError, ConfigError, EngineUnavailable, NotAuthenticated, NotRunning
from appliance.evaluation.attempt import Attempt, Cost
from appliance.evaluation.grading import sandbox
from appliance.evaluation.grading.grade import Grade
from appliance.evaluation.grading.graders import Judge, UnitTests
from appliance.evaluation.grading.judging import judge_body, score_of
from appliance.evaluation.suite import Suite, Task
from appliance.evaluation.target import Target

_END_THE_RUN = (ConfigError, NotRunning, NotAuthenticated)
"""Nothing that follows could go better."""
_MOST_FAILURES = 20
"""So many attempts without an answer, one after the other, and no answer yet: the run is stopped."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer with what it took."""

    text: str
    seconds: float
    cost: Cost = field(default_factory=Cost)
    trace_id: str = ""
    strategy: str = ""
    finish_reason: str = ""


AskTarget = Callable[[str, Mapping[str, Any]], Answered]
"""Sends one request: model and body. It blocks, and is called from several threads at once."""


@dataclass(frozen=True, slots=True)
class _Work:
    target: Target
    task: Task
    repeat: int
    sample: int
    seed: int


class Runner:
    """One suite under its targets. `ask` raises ApplianceError where there is no answer."""

    def __init__(self, suite: Suite, targets: Sequence[Target], ask: AskTarget, *, seed: int, repeats: int = 1) -> None:
        self._suite, self._targets, self._ask = suite, tuple(targets), ask
        self._seed, self._repeats = seed, repeats
        if isinstance(suite.grader, Judge) and suite.grader.model in {target.model for target in targets}:
            raise ConfigError(
                f"{suite.source}: grader.model {suite.grader.model} is also a target; no model judges itself"
            )

    @property
    def total(self) -> int:
        """Attempts of a whole run."""
        return len(self._suite.tasks) * self._repeats * sum(target.samples for target in self._targets)

    def attempts(self, done: Iterable[Attempt] = (), *, at_once: int = 8) -> Iterator[Attempt]:
        """The attempts that are not among `done`, as they end. Ending the iteration cancels the rest.

        Task by task, so that what the machine is busy with meanwhile falls on all targets alike.
        """
        places = {attempt.place for attempt in done}
        work = (w for w in self._work() if (w.target.name, w.task.task_id, w.repeat, w.sample) not in places)
        failures = 0
        with ThreadPoolExecutor(at_once) as pool:
            running: set[Future[Attempt]] = set()
            try:
                while True:
                    running |= {pool.submit(self._attempt, one) for one in islice(work, at_once * 2 - len(running))}
                    if not running:
                        return
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        attempt = future.result()
                        failures = failures + 1 if attempt.error and failures >= 0 else -1
                        if failures >= _MOST_FAILURES:
                            raise EngineUnavailable(f"the first {failures} attempts had no answer: {attempt.error}")
                        yield attempt
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def judged(self, attempts: Sequence[Attempt], *, at_once: int = 8) -> Iterator[Attempt]:
        """Attempts that are yet to be judged, with scores: against the reference, else the first target's answer."""
        grader, tasks = self._suite.grader, {task.task_id: task for task in self._suite.tasks}
        assert isinstance(grader, Judge)
        first = {a.task_id: a for a in attempts if a.target == self._targets[0].name and not (a.repeat or a.sample)}

        def judge(attempt: Attempt) -> Attempt:
            task = tasks[attempt.task_id]
            if not task.answers and first[attempt.task_id].place == attempt.place:
                return replace(attempt, score=0.5, reason="what the others are compared with", judge_agreed=True)
            reference = task.answers[0] if task.answers else first[attempt.task_id].answer
            return self._compared(grader, task, attempt, reference)

        with ThreadPoolExecutor(at_once) as pool:
            yield from pool.map(judge, [attempt for attempt in attempts if attempt.score is None])

    def _work(self) -> Iterator[_Work]:
        for repeat in range(self._repeats):
            for task in self._suite.tasks:
                for target in self._targets:
                    for sample in range(target.samples):
                        yield _Work(target, task, repeat, sample, seed_of(self._seed, task.task_id, repeat, sample))

    def _attempt(self, work: _Work) -> Attempt:
        target, task = work.target, work.task
        blank = Attempt(target.name, task.task_id, task.task_class, work.repeat, work.sample, work.seed, "", 0.0, "")
        try:
            answered = self._conversation(target, task, work.seed)
        except _END_THE_RUN:
            raise
        except ApplianceError as error:
            return replace(blank, error=str(error) or type(error).__name__)
        grade = self._graded(task, answered.text)
        return replace(
            blank,
            answer=answered.text,
            score=None if grade is None else grade.score,
            key=self._suite.grader.key(answered.text),
            reason="" if grade is None else grade.reason,
            seconds=answered.seconds,
            cost=answered.cost,
            trace_id=answered.trace_id,
            strategy=answered.strategy,
            finish_reason=answered.finish_reason,
        )

    def _conversation(self, target: Target, task: Task, seed: int) -> Answered:
        """Each turn with the answers before it; the last answer counts, and the cost of all."""
        messages: list[Mapping[str, Any]] = []
        seconds, cost, last = 0.0, Cost(), Answered("", 0.0)
        body = {"seed": seed, **target.body}
        if self._suite.max_tokens is not None:
            body["max_tokens"] = self._suite.max_tokens
        for turn in task.turns:
            messages += turn
            last = self._ask(target.model, {**body, "messages": list(messages)})
            messages.append({"role": "assistant", "content": last.text})
            seconds, cost = seconds + last.seconds, cost + last.cost
        return replace(last, seconds=seconds, cost=cost)

    def _graded(self, task: Task, answer: str) -> Grade | None:
        """None where a judge has to look at it when all answers are there."""
        grader = self._suite.grader
        if isinstance(grader, Judge):
            return None
        if isinstance(grader, UnitTests):
            return sandbox.graded(grader, answer, task.tests)
        return grader.grade(answer, task.answers, task.choices)

    def _compared(self, grader: Judge, task: Task, attempt: Attempt, reference: str) -> Attempt:
        """Both orders, so that a liking for the first or the second place evens out."""
        if attempt.error:
            return replace(attempt, score=0.0)
        scores = []
        for candidate, pair in (("A", (attempt.answer, reference)), ("B", (reference, attempt.answer))):
            said = self._ask(grader.model, judge_body(grader.criterion, task.text, *pair))
            score = score_of(said.text, candidate)
            if score is None:
                raise EngineUnavailable(
                    f"{grader.model} judged {task.task_id} with {said.text[:40]!r}, which is no verdict"
                )
            scores.append(score)
        return replace(attempt, score=sum(scores) / 2, judge_agreed=scores[0] == scores[1])


def seed_of(seed: int, task_id: str, repeat: int, sample: int) -> int:
    """The same for every target, so that what is drawn differs by target only; from 0 to 2³¹ − 1."""
    digest = hashlib.sha256(f"{seed}/{task_id}/{repeat}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
