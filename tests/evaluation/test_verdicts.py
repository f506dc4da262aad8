from __future__ import annotations

import math

import pytest

from appliance.coordinator.ask import Ask
from appliance.coordinator.options import Sampling
from appliance.coordinator.prompts import load_prompt_sets
from appliance.domain.request import TokenLogprob
from appliance.errors import EngineUnavailable
from appliance.evaluation.calibration import LabelledVerdict
from appliance.evaluation.labelled_set import LabelledResult
from appliance.evaluation.verdicts import Reading, judged

SETS = load_prompt_sets(("starter", "instruct"))
LABELLED = tuple(
    LabelledResult(skill=skill, instruction=do, result=result, right=right)
    for skill, do, result, right in (
        ("math", "12*7", "84", True),
        ("math", "12*7", "85", False),
        ("law", "Is it so?", "yes", True),
        ("text", "reverse AB", "?", False),
    )
)


def answer(model_id: str, ask: Ask) -> Reading:
    """Sure of 84, half sure of the rest, silent about `?`."""
    prompt = str(ask.messages[-1]["content"])
    assert ask.params["logprobs"] is True
    if "?" in prompt and model_id == "small":
        return Reading("lost", ())
    p = 0.99 if "84" in prompt else 0.5
    text = "pass" if model_id == "small" else "fine\npass"
    return Reading(text, (TokenLogprob("pass", math.log(p), {"pass": math.log(p), "fail": math.log(1 - p)}),))


def test_each_verifier_judges_what_it_understands_in_order() -> None:
    verifiers = {"small": SETS["starter"], "large": SETS["instruct"]}
    count: list[None] = []
    found = judged(LABELLED, verifiers, Sampling(), answer, at_once=3, done=lambda: count.append(None))
    assert [(v.verifier, v.task_class, round(v.probability, 2), v.right) for v in found] == [
        ("small", "math", 0.99, True),
        ("small", "math", 0.5, False),
        ("small", "text", 0.0, False),
        ("large", "math", 0.99, True),
        ("large", "math", 0.5, False),
        ("large", "law", 0.5, True),
        ("large", "text", 0.5, False),
    ]
    assert isinstance(found[0], LabelledVerdict)
    assert len(count) == 7


def test_a_call_that_fails_ends_it() -> None:
    def down(model_id: str, _ask: Ask) -> Reading:
        raise EngineUnavailable(f"{model_id} is down")

    with pytest.raises(EngineUnavailable, match="small is down"):
        judged(LABELLED, {"small": SETS["starter"]}, Sampling(), down, at_once=2)
