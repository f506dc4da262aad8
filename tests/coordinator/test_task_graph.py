from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.task_graph import PlanRejected, Task, TaskGraph, parse_plan, references, substitute

SKILLS = ("math", "text")


def plan(*steps: tuple[str, str, str], **extra: Any) -> str:
    return json.dumps({"steps": [{"id": i, "skill": s, "do": d} for i, s, d in steps], **extra})


def reasons(text: str, max_tasks: int = 16) -> str:
    outcome = parse_plan(text, SKILLS, max_tasks)
    assert isinstance(outcome, PlanRejected)
    return "; ".join(outcome.reasons)


def graph(text: str) -> TaskGraph:
    outcome = parse_plan(text, SKILLS, 64)
    assert isinstance(outcome, TaskGraph), outcome
    return outcome


def test_needs_come_from_references_and_from_the_plan() -> None:
    text = json.dumps(
        {
            "steps": [
                {"id": "s1", "skill": "math", "do": "1+1"},
                {"id": "s2", "skill": "text", "do": "sort BA", "needs": []},
                {"id": "s10", "skill": "math", "do": "$s1*$s1", "needs": ["s2", "s1"]},
            ]
        }
    )
    read = graph(text)
    assert read.tasks[2] == Task("s10", "math", "$s1*$s1", ("s1", "s2"))
    assert read.final.task_id == "s10"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON: Expecting value at character 0 of 0"),
        ('{"steps": [{"id"', "not valid JSON"),
        ("[" * 100_000, "nesting without end"),
        ("9" * 10_000, "without end"),
        ("[]", "not an object with the one key"),
        ('{"steps": {}}', "not an object with the one key"),
        (plan(("s1", "math", "1+1"), why="secret"), "not an object with the one key"),
        (plan(), "no steps"),
        ('{"steps": [1]}', "step 1: not an object with the keys"),
        ('{"steps": [{"id": "s1", "skill": "math"}]}', "step 1: not an object with the keys"),
        ('{"steps": [{"id": 1, "skill": "math", "do": "x"}]}', "step 1: id, skill and do must be strings"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "x", "needs": "s1"}]}', "needs must be a list of ids"),
        (plan(("t1", "math", "1+1")), "step 1: its id is not s and a number"),
        (plan(("s1\n", "math", "1+1")), "step 1: its id is not s and a number"),
        (plan(("s1", "magic", "1+1")), "step 1: nobody has its skill; known: math, text"),
        (plan(("s1", "math", " ")), "step 1: its instruction is empty"),
        (plan(("s1", "math", "1"), ("s1", "math", "2")), "step 2: its id stands twice"),
        (plan(("s1", "math", "$s1+1")), "step 1: needs itself or a later step"),
        (plan(("s1", "math", "$s2+1"), ("s2", "math", "$s1+1")), "step 1: needs itself or a later step"),
        (plan(("s1", "math", "$s10+1")), "step 1: needs a step that is not there"),
    ],
)
def test_what_is_no_plan_is_rejected_with_its_reason(text: str, reason: str) -> None:
    assert reason in reasons(text)
    assert "secret" not in reasons(text)


def test_a_bomb_is_rejected() -> None:
    assert reasons(plan(*((f"s{i}", "math", "1+1") for i in range(10_000))), 16) == (
        "10000 steps, but at most 16 are allowed"
    )


def test_all_malformed_steps_are_named() -> None:
    assert reasons(plan(("x", "math", "1"), ("s2", "magic", "1"))).startswith("step 1: its id")
    assert "step 2: nobody" in reasons(plan(("x", "math", "1"), ("s2", "magic", "1")))


def test_references_are_whole_numbers() -> None:
    assert substitute("$s1+$s10-$s100", {"s1": "A", "s10": "B", "s100": "C"}) == "A+B-C"
    assert references("$s10 $s1 $s10 $x $5 s3") == ("s10", "s1")
    with pytest.raises(KeyError):
        substitute("$s12", {"s1": "A"})


def test_results_that_look_like_references_stay_as_they_are() -> None:
    assert substitute("$s1 $s2", {"s1": "$s2", "s2": "$s1"}) == "$s2 $s1"


@given(st.text(alphabet='{}[]":,$s0123 stepsidkllo', max_size=200))
def test_any_text_gets_an_outcome(text: str) -> None:
    assert isinstance(parse_plan(text, SKILLS, 4), TaskGraph | PlanRejected)


@given(st.data())
def test_no_part_of_a_plan_is_a_plan(data: st.DataObject) -> None:
    whole = plan(("s1", "math", "12*7"), ("s2", "text", "reverse QE"), ("s3", "math", "$s1-$s2"))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert isinstance(parse_plan(whole[:cut], SKILLS, 16), PlanRejected)


@st.composite
def random_plans(draw: st.DrawFn) -> str:
    count = draw(st.integers(1, 12))
    numbers = draw(st.lists(st.integers(0, 200), min_size=count, max_size=count, unique=True))
    steps = []
    for place, number in enumerate(numbers):
        needed = draw(st.lists(st.sampled_from(numbers[:place]), max_size=3)) if place else []
        steps.append((f"s{number}", draw(st.sampled_from(SKILLS)), "+".join(["1", *(f"$s{n}" for n in needed)])))
    return plan(*steps)


@given(random_plans(), st.randoms())
def test_every_graph_runs_to_its_end_in_any_order(text: str, random: Any) -> None:
    read = graph(text)
    results: dict[str, str] = {}
    while len(results) < len(read.tasks):
        ready = [t for t in read.tasks if t.task_id not in results and results.keys() >= set(t.needs)]
        assert ready
        task = random.choice(ready)
        assert set(task.needs) <= set(results)
        assert "$" not in substitute(task.instruction, results)
        results[task.task_id] = "1"


def test_the_longest_chain_after_each_task() -> None:
    read = graph(plan(("s1", "math", "1+1"), ("s2", "math", "$s1+1"), ("s3", "math", "2+2"), ("s4", "math", "$s2+$s3")))
    assert read.tasks_after() == {"s1": 2, "s2": 1, "s3": 1, "s4": 0}
