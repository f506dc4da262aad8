from dataclasses import replace

import pytest

from appliance.capacity.tree_sampling import trees_of, with_shared_prompts
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.strategy import BEST_OF_N, DIRECT, PLAN_EXECUTE_VERIFY
from appliance.domain.trace import BudgetRecord, CallRecord, Decision, Outcome, TaskRecord, Trace


def made(
    role: Role, task: str, began_s: float, ended_s: float, tokens: int = 20, *, attempt: int = 1, first_s: float = 0.01
) -> CallRecord:
    return CallRecord(
        f"{role}-{task}-{attempt}",
        task,
        role,
        role.value,
        "e",
        attempt,
        began_s,
        0.0,
        ended_s - began_s,
        first_s,
        Usage(30, tokens, 16),
        Outcome.OK,
    )


def trace(strategy: str, *calls: CallRecord, needs: dict[str, tuple[str, ...]] | None = None, took_s: float) -> Trace:
    tasks = tuple(TaskRecord(name, "math", wanted, Outcome.OK, 1, 1) for name, wanted in (needs or {}).items())
    budget = BudgetRecord(8, 1000, 60, len(calls), 100, took_s)
    decision = Decision(strategy, ())
    return Trace("t", "r", "default", "auto", 0.0, took_s, decision, tasks, calls, (), (), budget, Usage(), Outcome.OK)


PLANNED = trace(
    PLAN_EXECUTE_VERIFY,
    made(Role.PLANNER, "plan", 0.001, 0.211, 21),
    made(Role.EXECUTOR, "s1", 0.121, 0.2),
    made(Role.VERIFIER, "s1", 0.205, 0.3),
    made(Role.EXECUTOR, "s2", 0.302, 0.4),
    made(Role.VERIFIER, "s2", 0.41, 0.5),
    made(Role.EXECUTOR, "s2", 0.503, 0.6, attempt=2),
    made(Role.SYNTHESIZER, "answer", 0.61, 0.8),
    needs={"s1": (), "s2": ("s1",)},
    took_s=0.805,
)


def test_a_plan_that_is_carried_out_while_it_is_written() -> None:
    ((strategy, (tree,)),) = trees_of([PLANNED], door_s=0.002).items()

    assert strategy == PLAN_EXECUTE_VERIFY
    assert [call.waits_for for call in tree.calls] == [(), (0,), (1,), (0, 2), (3,), (4,), (1, 0, 2, 3, 4, 5)]
    assert tree.calls[0].after_s == pytest.approx(0.003)  # and 2 ms at the door
    assert tree.calls[1].after_token == 12
    assert tree.calls[1].after_s == pytest.approx(0.0, abs=1e-9)
    assert [call.after_token for call in tree.calls[2:]] == [None] * 5
    assert [call.after_s for call in tree.calls[2:]] == pytest.approx([0.005, 0.002, 0.01, 0.003, 0.01])
    assert tree.last_s == pytest.approx(0.005)
    assert tree.streamed_by == 6


def test_the_dispatcher_is_told_what_the_coordinator_tells_it() -> None:
    (tree,) = trees_of([PLANNED])[PLAN_EXECUTE_VERIFY]

    assert [call.calls_after for call in tree.calls] == [5, 4, 3, 2, 1, 2, 0]
    assert [call.calls_left for call in tree.calls] == [None, None, None, 3, 3, 3, 1]


def test_where_structure_says_nothing_the_last_end_before_counts() -> None:
    drawn = trace(
        BEST_OF_N,
        made(Role.GENERALIST, "a", 0.0, 0.3),
        made(Role.GENERALIST, "b", 0.0, 0.4),
        made(Role.GENERALIST, "c", 0.45, 0.6),
        took_s=0.7,
    )

    (tree,) = trees_of([drawn])[BEST_OF_N]

    assert [call.waits_for for call in tree.calls] == [(), (), (1,)]
    assert tree.streamed_by is None


def test_a_single_answer_is_streamed() -> None:
    (tree,) = trees_of([trace(DIRECT, made(Role.GENERALIST, "answer", 0.0, 0.3), took_s=0.31)])[DIRECT]

    assert tree.streamed_by == 0
    assert tree.calls[0].calls_left is None


def test_what_was_not_answered_is_no_sample() -> None:
    failed = replace(PLANNED, outcome=Outcome.ERROR)

    assert trees_of([failed, trace(DIRECT, took_s=0.1)]) == {}


def test_calls_of_a_role_share_what_any_of_them_found_in_the_cache() -> None:
    cold = made(Role.GENERALIST, "answer", 0.0, 0.3)
    cold = replace(cold, usage=Usage(12, 20, 0))
    trees = trees_of(
        [trace(DIRECT, cold, took_s=0.3), trace(DIRECT, made(Role.GENERALIST, "answer", 0.0, 0.3), took_s=0.3)]
    )

    shared = with_shared_prompts(trees)[DIRECT]

    assert [tree.calls[0].shared_tokens for tree in shared] == [12, 16]
