from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.plan_stream import BLANKS_IN_A_ROW, CHARS_PER_TASK, PlanReader
from appliance.coordinator.task_graph import PlanRejected, Task, TaskGraph, parse_plan

SKILLS = ("math", "text")


def read(text: str, size: int = 1, max_tasks: int = 16) -> tuple[list[Task], PlanReader]:
    reader = PlanReader(SKILLS, max_tasks)
    tasks: list[Task] = []
    for place in range(0, len(text), size):
        tasks.extend(reader.push(text[place : place + size]))
    return tasks, reader


def step(number: int, do: str = "1+1", **more: Any) -> dict[str, Any]:
    return {"id": f"s{number}", "skill": "math", "do": do, **more}


def test_a_step_comes_with_its_closing_brace() -> None:
    reader = PlanReader(SKILLS, 4)
    assert reader.push('{"steps": [{"id": "s1", "skill": "math", "do": "1+1"') == ()
    assert reader.push('}, {"id": "s2", "skill": "text", "do": "sort $s1') == (Task("s1", "math", "1+1"),)
    assert reader.push('"}') == (Task("s2", "text", "sort $s1", ("s1",)),)
    assert reader.push("]}\n") == ()
    assert (reader.flaw, reader.cut) == ("", None)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_any_white_space_and_any_cut(indent: int | None, size: int) -> None:
    steps = [step(1, 'say "{[}]" \\ \n'), step(2, "ä𝄞 $s1", needs=["s1"]), step(3, "x", needs=[])]
    for ascii_only in (True, False):
        text = json.dumps({"steps": steps}, indent=indent, ensure_ascii=ascii_only)
        tasks, reader = read(f"\n {text} \n", size)
        graph = parse_plan(text, SKILLS, 16)
        assert isinstance(graph, TaskGraph)
        assert tuple(tasks) == graph.tasks
        assert not reader.flaw


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ('```json\n{"steps": [', "it does not begin with the list of steps"),
        ('{"plan": [', "it does not begin with the list of steps"),
        ('{"ste ps": [', "it does not begin with the list of steps"),
        ('{"steps": [1', "no plan after step 0"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "1"} {', "no plan after step 1"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "1"},]', "no plan after step 1"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "1"}], "steps"', "no plan after step 1"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "1"}]}}', "no plan after step 1"),
        ('{"steps": [{"id": s1}', "step 1: not valid JSON"),
        ('{"steps": [{"id": "s1", "skill": "magic", "do": "1"}', "step 1: nobody has its skill; known: math, text"),
        ('{"steps": [{"id": "s1", "skill": "math", "do": "$s2"}', "step 1: needs itself or a step that does not come"),
        (json.dumps({"steps": [step(1), step(1)]}), "step 2: its id stands twice"),
    ],
)
def test_the_first_flaw_is_named_and_no_step_follows_it(text: str, flaw: str) -> None:
    tasks, reader = read(text)
    assert reader.flaw.startswith(flaw)
    known = [t.task_id for t in tasks]
    assert reader.push(json.dumps(step(9))) == ()
    assert known in ([], ["s1"])
    assert reader.cut is None


def test_a_bomb_of_steps_is_cut_at_the_first_step_too_many() -> None:
    text = json.dumps({"steps": [step(n) for n in range(10_000)]})
    reader, read_chars = PlanReader(SKILLS, 4), 0
    while reader.cut is None:
        reader.push(text[read_chars])
        read_chars += 1
    assert reader.cut == PlanRejected(("more than 4 steps",))
    assert read_chars == text.index('{"id": "s4"') + 1
    assert reader.push(text[read_chars:]) == ()


@pytest.mark.parametrize("begin", ["", '{"steps": [', '{"steps": [{"id": "s1", "do": "', "no plan"])
@pytest.mark.parametrize("endless", ["x", " ", "[", "\\", "}"])
def test_text_without_end_is_cut(begin: str, endless: str) -> None:
    _, reader = read(begin + endless * (2 * CHARS_PER_TASK), size=50, max_tasks=1)
    assert reader.cut is not None


def test_blanks_without_end_are_cut_soon() -> None:
    _, reader = read('{"steps": [' + "\n " * BLANKS_IN_A_ROW, size=10)
    assert reader.cut == PlanRejected((f"more than {BLANKS_IN_A_ROW} blanks in a row",))
    spaces = step(1, "x" + " " * 2 * BLANKS_IN_A_ROW)
    tasks, reader = read(json.dumps({"steps": [spaces]}))
    assert (len(tasks), reader.cut) == (1, None)


@st.composite
def plans(draw: st.DrawFn) -> str:
    steps = []
    for number in range(draw(st.integers(1, 8))):
        do = draw(st.text(min_size=1, max_size=12))
        needs = draw(st.lists(st.sampled_from([f"s{n}" for n in range(number + 1)]), max_size=2))
        made = {"id": f"s{number}", "skill": draw(st.sampled_from((*SKILLS, "magic"))), "do": do}
        steps.append(made | ({"needs": needs} if draw(st.booleans()) else {}))
    return json.dumps({"steps": steps}, indent=draw(st.sampled_from((None, 1))), ensure_ascii=draw(st.booleans()))


@given(plans(), st.integers(1, 9), st.integers(1, 8))
def test_what_is_read_early_is_what_the_whole_says(text: str, size: int, max_tasks: int) -> None:
    whole = parse_plan(text, SKILLS, max_tasks)
    tasks, reader = read(text, size, max_tasks)
    if isinstance(whole, TaskGraph):
        assert tuple(tasks) == whole.tasks
    assert bool(reader.flaw) is isinstance(whole, PlanRejected)


@given(st.text(alphabet='{}[]":,$\\s01 stepsidkll\no', max_size=300), st.randoms())
def test_any_text_is_read(text: str, dice: random.Random) -> None:
    begin = dice.choice(("", '{"steps": [', '{"steps": [{"id": "s1", "skill": "math", "do": "'))
    tasks, _ = read(begin + text, dice.randint(1, 5))
    assert all(isinstance(task, Task) for task in tasks)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("indent", [None, 2, 20])
def test_a_plan_and_nothing_else_need_not_be_parsed_again(indent: int | None, size: int) -> None:
    steps = [step(1, 'say "{[}]" \\ \n'), step(2, "\u00e4 $s1", check={"regex": "a{2}"}), step(3, "x", needs=["s1"])]
    text = json.dumps({"steps": steps}, indent=indent) + "\n"
    _, reader = read(text, size)
    assert reader.graph(text) == parse_plan(text, SKILLS, 16)


@pytest.mark.parametrize(
    "text",
    [
        '{"steps": []}',
        json.dumps({"steps": [step(1)]})[:-1],
        json.dumps({"steps": [step(1)]}) + "}",
        json.dumps({"steps": [step(1), step(1)]}),
        '{"steps":\u00a0[{"id": "s1", "skill": "math", "do": "1"}]}',
        '{"steps": [{"id": "s1", "skill": "math", "do": "1"}]}\x0b',
    ],
)
def test_what_is_no_plan_is_left_to_the_parser(text: str) -> None:
    _, reader = read(text, 1000)
    assert reader.graph(text) is None
    assert isinstance(parse_plan(text, SKILLS, 16), PlanRejected)


def test_pieces_of_a_step_wait_for_its_end_and_still_count() -> None:
    reader = PlanReader(SKILLS, 4)
    assert reader.push('{"steps": [{"id": "s1",') == ()
    for _ in range(BLANKS_IN_A_ROW):
        assert reader.push(" ") == ()
        assert reader.cut is None
    reader.push(" ")
    assert reader.cut == PlanRejected((f"more than {BLANKS_IN_A_ROW} blanks in a row",))
