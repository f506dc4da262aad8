from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.options import Sampling
from appliance.coordinator.prompts import load_prompt_sets
from appliance.coordinator.task_graph import TaskInput
from appliance.coordinator.verifier import Judgement, read_verdict, verifier_ask
from appliance.domain.request import TokenLogprob
from appliance.domain.trace import Verdict

SETS = load_prompt_sets(("starter", "instruct"))
STARTER = SETS["starter"]


def token(text: str, probability: float, **alternatives: float) -> TokenLogprob:
    logs = {name.replace("_", " "): math.log(p) for name, p in alternatives.items()}
    return TokenLogprob(text, math.log(probability), logs)


def test_the_probability_is_that_of_the_verdict_token() -> None:
    tokens = (token("7*8=56", 0.9), token(";", 1.0), token("pass", 0.6, **{"pass": 0.6, "fail": 0.2, "x": 0.1}))
    judgement = read_verdict(STARTER, "7*8=56;pass", tokens, 0.5)
    assert (judgement.verdict, judgement.rule) == (Verdict.PASS, "verdict token")
    assert judgement.probability == pytest.approx(0.75)
    assert read_verdict(STARTER, "7*8=56;pass", tokens, 0.8).verdict is Verdict.FAIL


def test_fail_is_the_rest() -> None:
    tokens = (token("fail", 0.9, **{"pass": 0.1}),)
    judgement = read_verdict(STARTER, "x;fail", tokens, 0.5)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.probability == pytest.approx(0.1)


def test_spaces_case_and_parts_of_the_word_count() -> None:
    tokens = (token(" P", 0.5, _p=0.1, fa=0.2), token("ass", 1.0), token("\n", 1.0), token("", 1.0))
    judgement = read_verdict(SETS["instruct"], " Pass\n", tokens, 0.5)
    assert judgement.probability == pytest.approx(0.6 / 0.8)


def test_the_reason_stands_before_the_verdict_where_the_set_asks_for_one() -> None:
    text = "The result should  pass on\n84, not 48.\nfail"
    tokens = (token("The result should  pass on\n84, not 48.\n", 1.0), token("fail", 0.8, **{"pass": 0.2}))
    judgement = read_verdict(SETS["instruct"], text, tokens, 0.5)
    assert judgement.reason == "The result should pass on 84, not 48."
    assert judgement.verdict is Verdict.FAIL
    assert judgement.probability == pytest.approx(0.2)
    unsure = read_verdict(
        SETS["instruct"], "It is right.\npass", (token("pass", 0.6, **{"pass": 0.6, "fail": 0.4}),), 0.8
    )
    assert unsure.verdict is Verdict.FAIL
    assert unsure.reason == "it is not sure enough that the result is right (0.60, 0.80 are needed)"
    assert len(read_verdict(SETS["instruct"], "x" * 5_000 + "\npass", (), 0.5).reason) == 400
    assert read_verdict(STARTER, "7*8=56;pass", (), 0.5).reason == ""


def test_the_last_verdict_word_counts() -> None:
    tokens = (token("pass", 0.9, fail=0.1), token(";", 1.0), token("fail", 0.7, **{"pass": 0.3}))
    assert read_verdict(STARTER, "pass;fail", tokens, 0.5).probability == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["", ";", "pass;", "x;maybe", "pass fail", "x;passing"])
def test_what_is_no_verdict_is_unsure(text: str) -> None:
    assert read_verdict(STARTER, text, (), 0.5) == Judgement(Verdict.UNSURE, 0.5, "no verdict in the answer")


@pytest.mark.parametrize(("text", "verdict", "probability"), [("w;pass", "pass", 1.0), ('"fail".', "fail", 0.0)])
def test_without_logprobs_the_word_stands_alone(text: str, verdict: str, probability: float) -> None:
    assert read_verdict(STARTER, text, (), 0.5) == Judgement(Verdict(verdict), probability, "verdict word")


@given(st.text(max_size=30), st.lists(st.tuples(st.text(max_size=6), st.floats(-50, 0)), max_size=6))
def test_any_answer_gets_a_probability(text: str, pairs: list[tuple[str, float]]) -> None:
    tokens = [TokenLogprob(word, logprob, {"pass": -1.0}) for word, logprob in pairs]
    assert 0 <= read_verdict(STARTER, text, tokens, 0.5).probability <= 1


def test_the_call_asks_for_logprobs_and_bounds_the_answer() -> None:
    task = TaskInput("s1", "math", "347*8", "q", {})
    ask = verifier_ask(STARTER, task, "2776", Sampling(max_tokens=40), 1)
    assert ask.messages == ({"role": "user", "content": "347*8 = 2776"},)
    assert (ask.max_tokens, ask.params) == (40, {"temperature": 0.0, "logprobs": True, "top_logprobs": 10})
    instruct = verifier_ask(SETS["instruct"], task, "2776", Sampling(temperature=0.2), 1)
    assert re.fullmatch(instruct.params["structured_outputs"]["regex"], "12*7 is 84, not 48.\nfail")
    assert instruct.params["seed"] == 1
