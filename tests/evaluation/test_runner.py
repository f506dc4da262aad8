"""Runs of a suite against a scripted pool: seeds, votes, conversations, failures, judges, and going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pytest

from appliance.errors import ApplianceError, ConfigError, EngineUnavailable, NotRunning
from appliance.evaluation.attempt import Attempt, Cost
from appliance.evaluation.grading.graders import Exact, Grader, Judge, UnitTests
from appliance.evaluation.runner import Answered, Runner
from appliance.evaluation.suite import Suite, Task
from appliance.evaluation.target import Target, targets_of

TASKS = tuple(Task(f"t{n}", "all", (({"role": "user", "content": f"{n}?"},),), (str(n),)) for n in range(4))


@dataclass(slots=True)
class Pool:
    """Says back the question without its mark, or what `answers` has for the model; or raises."""

    answers: Mapping[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def ask(self, model: str, body: Mapping[str, Any]) -> Answered:
        with self.lock:
            self.asked.append((model, body))
        said = self.answers.get(model, body["messages"][-1]["content"].rstrip("?"))
        if isinstance(said, Exception):
            raise said
        return Answered(said, 0.5, Cost(10, 2, calls=1, gpu_s=0.25), "trace", "direct", "stop")


def suite(grader: Grader | None = None, tasks: Sequence[Task] = TASKS) -> Suite:
    return Suite("mine", tuple(tasks), grader or Exact(type="exact"), 64, "digest", "mine.yaml")


def targets(text: str = "auto,small") -> tuple[Target, ...]:
    return targets_of(text, virtual_model="auto", models=("small", "judge"))


def run(pool: Pool, runner: Runner, done: Sequence[Attempt] = ()) -> list[Attempt]:
    return list(runner.attempts(done, at_once=3))


def test_every_task_is_put_to_every_target_with_the_same_seeds() -> None:
    pool = Pool()
    runner = Runner(suite(), targets(), pool.ask, seed=7, repeats=2)
    found = run(pool, runner)
    assert len(found) == runner.total == 16
    assert all(a.score == 1 and a.cost.gpu_s == 0.25 and a.trace_id == "trace" for a in found)
    seeds = {name: {(a.task_id, a.repeat): a.seed for a in found if a.target == name} for name in ("auto", "small")}
    assert seeds["auto"] == seeds["small"]
    assert len(set(seeds["auto"].values())) == 8
    assert all(body["max_tokens"] == 64 and 0 <= body["seed"] < 2**31 for _, body in pool.asked)
    again = run(pool, Runner(suite(), targets(), pool.ask, seed=7, repeats=2))
    assert sorted(a.seed for a in again) == sorted(a.seed for a in found)


def test_what_is_done_is_not_done_again() -> None:
    pool = Pool()
    runner = Runner(suite(), targets("self-consistency:small@3"), pool.ask, seed=0)
    found = run(pool, runner)
    pool.asked.clear()
    rest = run(pool, runner, found[:5])
    assert len(pool.asked) == 12 - 5
    assert {a.place for a in rest} | {a.place for a in found[:5]} == {a.place for a in found}


def test_an_attempt_without_an_answer_says_why_and_counts() -> None:
    pool = Pool({"small": EngineUnavailable("no engine")})
    found = run(pool, Runner(suite(), targets(), pool.ask, seed=0))
    assert {a.error for a in found if a.target == "small"} == {"no engine"}
    assert {a.score for a in found if a.target == "small"} == {0.0}
    assert all(a.score == 1 for a in found if a.target == "auto")


@pytest.mark.parametrize("error", [NotRunning("gone"), ConfigError("wrong")])
def test_what_can_only_fail_ends_the_run(error: ApplianceError) -> None:
    pool = Pool({"small": error})
    with pytest.raises(type(error), match=str(error)):
        run(pool, Runner(suite(), targets("small"), pool.ask, seed=0))


def test_a_pool_that_answers_nothing_is_not_asked_for_ever() -> None:
    pool = Pool({"small": EngineUnavailable("no engine")})
    many = [Task(f"t{n}", "all", TASKS[0].turns, ("0",)) for n in range(500)]
    with pytest.raises(EngineUnavailable, match="the first 20 attempts had no answer: no engine"):
        run(pool, Runner(suite(tasks=many), targets("small"), pool.ask, seed=0))
    assert len(pool.asked) < 100


def test_turns_are_sent_with_the_answers_before_them() -> None:
    turns = (({"role": "user", "content": "a?"},), ({"role": "user", "content": "b?"},))
    pool = Pool()
    (found,) = run(pool, Runner(suite(tasks=[Task("t", "all", turns, ("b",))]), targets("small"), pool.ask, seed=0))
    assert [m["content"] for m in pool.asked[1][1]["messages"]] == ["a?", "a", "b?"]
    assert (found.score, found.seconds, found.cost.calls) == (1, 1.0, 2)


def test_programs_are_run() -> None:
    grader = UnitTests(type="unit_tests")
    tasks = [Task("t", "all", TASKS[0].turns, (), (), "assert f() == 1")]
    pool = Pool({"small": "def f(): return 1", "auto": "def f(): return 2"})
    found = run(pool, Runner(suite(grader, tasks), targets(), pool.ask, seed=0))
    assert {a.target: a.score for a in found} == {"small": 1.0, "auto": 0.0}


def judged(verdicts: Sequence[str], reference: tuple[str, ...]) -> dict[str, Attempt]:
    """`verdicts` of both orders for `small`; auto's answer is the reference where the task has none."""
    given = iter(verdicts)

    def ask(model: str, body: Mapping[str, Any]) -> Answered:
        return Answered(next(given), 0.1) if model == "judge" else Answered(f"answer of {model}", 0.1)

    grader = Judge(type="judge", model="judge")
    tasks = [Task("t", "all", TASKS[0].turns, reference)]
    runner = Runner(suite(grader, tasks), targets("auto,small" if not reference else "small"), ask, seed=0)
    attempts = list(runner.attempts(at_once=1))
    assert all(a.score is None for a in attempts)
    return {a.target: a for a in runner.judged(attempts, at_once=1)}


def test_a_judge_sees_both_orders() -> None:
    assert (judged(["A", "B"], ("the reference",))["small"].score, True) == (1.0, True)
    torn = judged(["A", "A"], ("the reference",))["small"]
    assert (torn.score, torn.judge_agreed) == (0.5, False)
    found = judged(["B", "A"], ())
    assert (found["auto"].score, found["small"].score) == (0.5, 0.0)


def test_no_model_judges_itself_and_nonsense_is_no_verdict() -> None:
    with pytest.raises(ConfigError, match="no model judges itself"):
        Runner(suite(Judge(type="judge", model="small")), targets(), Pool().ask, seed=0)
    with pytest.raises(EngineUnavailable, match="which is no verdict"):
        judged(["perhaps"], ("the reference",))
