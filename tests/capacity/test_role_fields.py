"""What models are asked for beside their text."""

from __future__ import annotations

from dataclasses import replace

from appliance.capacity.role_fields import fields_by_model
from appliance.coordinator.verifier import TOP_LOGPROBS
from appliance.domain.model import Role
from appliance.domain.strategy import PLAN_EXECUTE_VERIFY
from tests.capacity.test_tree_sampling import PLANNED, made, trace


def test_planners_are_held_to_a_form_and_verifiers_tell_probabilities() -> None:
    fields = fields_by_model([PLANNED])

    assert "regex" in fields["planner"]["structured_outputs"]
    assert fields["verifier"] == {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    assert fields["executor"] == fields["synthesizer"] == {}


def test_a_model_of_several_roles_is_asked_as_for_most_of_its_tokens() -> None:
    short, long = made(Role.VERIFIER, "s1", 0.2, 0.3, 4), made(Role.EXECUTOR, "s1", 0.0, 0.1, 40)
    calls = [replace(each, model_id="one") for each in (long, short)]

    assert fields_by_model([trace(PLAN_EXECUTE_VERIFY, *calls, took_s=0.3)]) == {"one": {}}
