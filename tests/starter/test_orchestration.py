"""Plan, execute, verify and repair with scripted models."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests/e2e/test_starter_code.py runs it where torch is")

from models.starter.formats import final_answer
from models.starter.orchestration import Repair, Team, orchestrate, plan_again, plan_by_majority, read_plan
from models.starter.problems.operations import evaluate
from models.starter.sampling import Completion

PLAN = '{"steps": [{"id": "s1", "skill": "text", "do": "length QEX"}, {"id": "s2", "skill": "math", "do": "$s1*7"}]}'


class Scripted:
    """A model that answers with a function of prompt and temperature."""

    def __init__(self, answer: Callable[[str, float], str]) -> None:
        self.script = answer

    def answer(
        self, prompts: Sequence[str], temperature: float = 0.0, seed: int = 0, max_tokens: int = 480
    ) -> list[Completion]:
        """One completion for each prompt; a verdict of pass is certain."""
        texts = [self.script(prompt, temperature) for prompt in prompts]
        return [Completion(text, 2, 3, float(final_answer(text) == "pass")) for text in texts]


def check(prompt: str, temperature: float) -> str:
    """A verifier that is always right."""
    do, result = prompt.split(" = ")
    return ";pass" if evaluate(do) == result else ";fail"


def team(math: Callable[[str, float], str], plan: str = PLAN) -> Team:
    """A team whose text executor and verifier make no mistakes."""
    parts: list[Any] = [
        Scripted(lambda prompt, temperature: plan),
        Scripted(math),
        Scripted(lambda prompt, temperature: evaluate(prompt)),
        Scripted(check),
    ]
    return Team(*parts)


def test_results_flow_along_the_references() -> None:
    plans = plan_by_majority(team(lambda do, t: evaluate(do)), ["q"], samples=0)
    [run] = orchestrate(team(lambda do, t: evaluate(do)), plans, None)
    assert run.answer == "21"
    assert (run.calls, run.tokens) == (3, 6)


def test_a_wrong_result_is_repaired_by_a_fresh_sample() -> None:
    shaky = team(lambda do, t: evaluate(do) if t else "99")
    plans = plan_by_majority(shaky, ["q"], samples=0)
    [without] = orchestrate(shaky, plans, None)
    [repaired] = orchestrate(shaky, plans, Repair())
    assert (without.answer, repaired.answer) == ("99", "21")
    assert repaired.repairs == 1


def test_repair_gives_up_after_its_samples() -> None:
    hopeless = team(lambda do, t: "99")
    [run] = orchestrate(hopeless, plan_by_majority(hopeless, ["q"], samples=0), Repair(samples=2))
    assert run.repairs == 2
    assert run.answer == "99"


def test_a_doubted_plan_gets_another_one_that_passes() -> None:
    lost = team(lambda do, t: "99" if do == "3*8" else evaluate(do))
    lost.planner.script = lambda prompt, t: PLAN if t else PLAN.replace("$s1*7", "$s1*8")  # type: ignore[attr-defined]  # a fake, not the model
    runs = orchestrate(lost, plan_by_majority(lost, ["q"], samples=0), Repair(samples=1))
    [again] = plan_again(lost, ["q"], runs, Repair(samples=1))
    assert (runs[0].doubted, runs[0].answer, again.answer) == (True, "99", "21")
    assert again.calls > runs[0].calls


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"steps": [{"id": "s1"}]}', '{"steps": [{"id": "s1", "skill": "x", "do": "1"}]}']
)
def test_a_broken_plan_has_no_steps(text: str) -> None:
    assert read_plan(text) == []


def test_a_reference_to_nothing_leaves_no_answer() -> None:
    lost = team(lambda do, t: evaluate(do), '{"steps": [{"id": "s1", "skill": "math", "do": "$s7*2"}]}')
    [run] = orchestrate(lost, plan_by_majority(lost, ["q"], samples=0), None)
    assert run.answer == ""
