"""The generators are seeded, the parts of the data are apart, and every plan leads to its answer."""

import random
import re
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.starter.formats import resolve
from models.starter.problems import direct
from models.starter.problems.corruption import corrupt
from models.starter.problems.operations import UnfitOperation, evaluate, is_math, split_key, split_of
from models.starter.problems.problem import FAMILIES, draw_problem, results_of
from models.starter.problems.sampling import MATH_OPERATORS, draw_operation
from models.starter.problems.splits import Split
from models.starter.problems.wordings import (
    Group,
    Wording,
    codes,
    comparisons,
    events,
    expand,
    numbers,
    orders,
    requests,
)

CELLS = [(name, steps) for name, family in FAMILIES.items() for steps in family.steps]
MODULES = (events, comparisons, orders, numbers, codes, requests, direct)


def groups(module: ModuleType) -> list[Group]:
    """All groups of templates in a module."""
    found: list[Group] = []
    for value in vars(module).values():
        candidates = list(value.values()) if isinstance(value, dict) else [value]
        for group in candidates:
            if (
                isinstance(group, tuple)
                and len(group) == 2
                and all(isinstance(part, tuple) and all(isinstance(t, str) for t in part) for part in group)
                and any("{" in t or " " in t for t in group[0])
            ):
                found.append(group)
    return found


def words(templates: tuple[str, ...]) -> set[str]:
    """The words of templates, without slots."""
    text = " ".join(re.sub(r"\{\w+\}", " ", template) for template in templates)
    return {word.lower() for word in re.findall(r"[A-Za-z]+", text)}


@pytest.mark.parametrize(("family", "steps"), CELLS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_plan_leads_to_its_answer(family: str, steps: int, split: Split) -> None:
    rng = random.Random(f"{family}{steps}{split}")
    for wording in ("seen", "unseen"):
        problem = draw_problem(rng, split, wording, steps, family)
        results = results_of(problem.plan)
        assert len(problem.plan) == steps
        assert results[problem.plan[-1].id] == problem.answer
        assert len({step.id for step in problem.plan}) == steps
        for number, step in enumerate(problem.plan, 1):
            subject = step.id.removeprefix("s")
            assert subject == str(number) or (subject.isalpha() and subject.lower() in problem.question.lower())
        known: dict[str, str] = {}
        for step in problem.plan:
            do = resolve(step.do, known)
            known[step.id] = evaluate(do)
            assert split_of(do) == split
            assert step.skill == ("math" if is_math(do) else "text")
        assert "{" not in problem.question
        assert "[" not in problem.question


def test_every_operand_of_the_question_comes_from_the_question() -> None:
    rng = random.Random(3)
    for _ in range(300):
        problem = draw_problem(rng, "train", "seen")
        for step in problem.plan:
            for number in re.findall(r"(?<!\$s)\b\d+", step.do):
                assert number in problem.question


def test_same_seed_same_problems() -> None:
    first = [draw_problem(random.Random(7), "train", "seen") for _ in range(5)]
    assert first == [draw_problem(random.Random(7), "train", "seen") for _ in range(5)]


def test_some_plans_are_graphs() -> None:
    rng = random.Random(11)
    plans = [draw_problem(rng, "train", "seen", 3, "parallel").plan for _ in range(20)]
    assert any("$" not in plan[0].do + plan[1].do and plan[2].do.count("$") == 2 for plan in plans)


@pytest.mark.parametrize("skill", ["math", "text"])
def test_parts_of_the_data_share_no_operation(skill: str) -> None:
    keys: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        rng = random.Random(5)
        keys[split] = {split_key(draw_operation(rng, skill, split)) for _ in range(400)}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_an_inverse_operation_is_in_the_same_part(a: int, b: int) -> None:
    assert split_key(f"{a}+{b}") == split_key(f"{b}+{a}") == split_key(f"{a + b}-{b}") == split_key(f"{a + b}-{a}")


@given(st.integers(1, 1111), st.integers(2, 9))
def test_a_division_is_in_the_part_of_its_product(a: int, b: int) -> None:
    assert split_key(f"{a}*{b}") == split_key(f"{b}*{a}") == split_key(f"{a * b}/{b}")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_held_out_wordings_are_apart_from_training_wordings(module: ModuleType) -> None:
    found = groups(module)
    assert len(found) >= 5
    for seen, unseen in found:
        assert unseen
        assert not set(seen) & set(unseen)


def test_held_out_wordings_use_known_words() -> None:
    found = [group for module in MODULES for group in groups(module)]
    known = set().union(*(words(seen) for seen, _ in found))
    assert set().union(*(words(unseen) for _, unseen in found)) <= known


@pytest.mark.parametrize("wording", ["seen", "unseen"])
def test_direct_prompts_have_answers(wording: Wording) -> None:
    assert len(direct.PROMPTS) >= 60
    question, answer = direct.draw_direct(random.Random(1), wording)
    assert question
    assert answer


@pytest.mark.parametrize(
    "do",
    ["7", "12*13", "7/2", "3-9", "9999+1", "07+1", "sort qex", "count AB QEX", "join QEXARA TOMEKA", "drop last A"],
)
def test_operations_outside_the_family_are_refused(do: str) -> None:
    with pytest.raises(UnfitOperation):
        evaluate(do)


@settings(max_examples=200)
@given(st.integers(0, 10**6))
def test_a_corrupted_result_is_wrong(seed: int) -> None:
    rng = random.Random(seed)
    do = draw_operation(rng, rng.choice(("math", "text")), "train")
    wrong = corrupt(rng, evaluate(do), "QEX")
    assert wrong
    assert wrong != evaluate(do)


def test_every_operator_is_drawn() -> None:
    rng = random.Random(2)
    seen = {
        operator for _ in range(100) for operator in MATH_OPERATORS if operator in draw_operation(rng, "math", "train")
    }
    assert seen == set(MATH_OPERATORS)


def test_expand_takes_one_alternative() -> None:
    assert expand("[a|a] b", random.Random(0)) == "a b"
