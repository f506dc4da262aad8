"""Other models in roles, for one request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.coordinator.casting import check_roles, recast
from appliance.coordinator.options import Roles
from appliance.coordinator.prompt_set import SPEECHLESS
from appliance.coordinator.prompts import load_prompt_sets
from appliance.errors import ConfigError, InvalidRequest, RequestError, UnknownModel
from tests.coordinator.house import MODELS, OPTIONS

STARTER = load_prompt_sets(("starter",))["starter"]
SETS = dict.fromkeys(MODELS, STARTER)
ROLES = OPTIONS.roles


def test_one_model_plays_the_role_alone() -> None:
    assert recast(ROLES, {"verifier": "math"}, SETS) == replace(ROLES, verifier=("math",))
    assert recast(ROLES, {}, SETS) == ROLES


def test_executors_of_every_skill_or_of_one() -> None:
    every = recast(ROLES, {"executor": "math-2"}, SETS)
    assert every.executors == {"math": ("math-2",), "text": ("math-2",)}
    one = recast(ROLES, {"executor.math": "math-2", "planner": "text"}, SETS)
    assert (one.executors, one.planner) == ({"math": ("math-2",), "text": ("text",)}, ("text",))


@pytest.mark.parametrize(
    ("model_for", "kind", "words"),
    [
        ({"judge": "math"}, InvalidRequest, "there is no role 'judge'; known: planner, executor, verifier"),
        ({"verifier": "gpt"}, UnknownModel, "there is no model 'gpt' here; known: generalist"),
        ({"synthesizer": "math"}, InvalidRequest, "math can't play synthesizer: its prompt set starter"),
        ({"executor.law": "math"}, InvalidRequest, "nobody has the skill 'law'; known: math, text"),
        ({"verifier.math": "math"}, InvalidRequest, "only executors have skills"),
    ],
)
def test_what_can_not_be_is_refused_by_name(model_for: dict[str, str], kind: type[RequestError], words: str) -> None:
    with pytest.raises(kind, match=words) as refused:
        recast(ROLES, model_for, SETS)
    assert refused.value.param == "model_for"


def test_without_executors_nobody_can_be_one() -> None:
    with pytest.raises(InvalidRequest, match="no executors are configured"):
        recast(Roles(generalist=("generalist",)), {"executor": "math"}, SETS)


def test_a_model_that_makes_no_text_plays_no_role() -> None:
    sets = {"a": SPEECHLESS, "b": SPEECHLESS}
    with pytest.raises(ConfigError, match="a can't play generalist"):
        check_roles(Roles(generalist=("a",)), sets)
    with pytest.raises(InvalidRequest, match="b can't play verifier"):
        recast(Roles(generalist=("a",)), {"verifier": "b"}, sets)
