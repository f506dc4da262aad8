"""The visible workings are right, and the verifier's checks find every wrong result."""

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from models.starter.checking import FAIL, PASS, verifier_answer
from models.starter.formats import (
    addition_working,
    chain_of_thought,
    division_working,
    executor_answer,
    final_answer,
    multiplication_working,
    plan_text,
    resolve,
    subtraction_working,
)
from models.starter.problems.corruption import corrupt
from models.starter.problems.operations import evaluate
from models.starter.problems.problem import draw_problem
from models.starter.problems.sampling import draw_operation

NUMBERS = st.integers(1, 4999)


def last_digits(working: str) -> str:
    """The result that a working from the last digit on spells out."""
    parts = [part.split("=")[1].rstrip("b") for part in working.split(",")]
    return (parts[-1] + "".join(part[-1] for part in reversed(parts[:-1]))).lstrip("0")


@given(NUMBERS, NUMBERS)
def test_addition_working_spells_the_sum(a: int, b: int) -> None:
    assert last_digits(addition_working(a, b)) == str(a + b)


@given(NUMBERS, NUMBERS)
def test_subtraction_working_spells_the_difference(a: int, b: int) -> None:
    assert last_digits(subtraction_working(a + b, b)) == str(a)


@given(st.integers(1, 1111), st.integers(2, 9))
def test_multiplication_working_spells_the_product(a: int, b: int) -> None:
    assert last_digits(multiplication_working(a, b)) == str(a * b)


@given(st.integers(1, 1111), st.integers(2, 9))
def test_division_working_spells_the_quotient(a: int, b: int) -> None:
    digits = "".join(part.split("=")[1].split("r")[0] for part in division_working(a * b, b).split(","))
    assert digits.lstrip("0") == str(a)


def test_workings_as_documented() -> None:
    assert executor_answer("347*8") == "7*8=56,4*8+5=37,3*8+3=27;2776"
    assert executor_answer("4443-596") == "3-6=7b,4-9-1=4b,4-5-1=8b,4-0-1=3;3847"
    assert executor_answer("reverse QEXAR") == "RAXEQ"
    assert verifier_answer("347*8", "2776") == "2/8=0r2,27/8=3r3,37/8=4r5,56/8=7r0:347:33=44=77=;pass"
    assert verifier_answer("drop first TOM", "OT") == "1T2O3M:1O2T:2O1OO=3M2TM!;fail"
    assert verifier_answer("count O TOMO", "2") == "TO0OO1MO1OO2:22=;pass"


@settings(max_examples=500)
@given(st.integers(0, 10**9))
def test_the_verifier_passes_right_results_and_fails_wrong_ones(seed: int) -> None:
    rng = random.Random(seed)
    do = draw_operation(rng, rng.choice(("math", "text")), "train")
    result = evaluate(do)
    assert final_answer(verifier_answer(do, result)) == PASS
    assert final_answer(verifier_answer(do, corrupt(rng, result, "QEX"))) == FAIL
    assert final_answer(executor_answer(do)) == result


def test_plans_are_written_as_json_dumps_does() -> None:
    problem = draw_problem(random.Random(4), "train", "seen", 3)
    text = plan_text(problem.plan)
    assert json.dumps(json.loads(text)) == text
    assert [list(step) for step in json.loads(text)["steps"]] == [["id", "skill", "do"]] * 3


def test_a_chain_of_thought_ends_with_the_answer() -> None:
    problem = draw_problem(random.Random(4), "train", "seen", 4)
    text = chain_of_thought(problem.plan)
    assert final_answer(text) == problem.answer
    assert text.count("|") == 3


def test_references_are_replaced() -> None:
    assert resolve("join $s1 $s12", {"s1": "AB", "s12": "C"}) == "join AB C"
