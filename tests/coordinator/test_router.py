from __future__ import annotations

from typing import Any

import pytest

from appliance.coordinator.options import DirectRule, Roles
from appliance.coordinator.router import Router
from appliance.domain.request import ChatMessage, ChatRequest
from appliance.errors import ConfigError

RULE = DirectRule(cues=(r"\b[Tt]hen\b", r"\beach\b", r"[;.] "), min_cues=2, max_prompt_chars=100)
ROLES = Roles(generalist=("g",), planner=("p",), executors={"math": ("m",)})


def decide(text: str, rule: DirectRule = RULE, roles: Roles = ROLES, **sampling: Any) -> tuple[str, str]:
    request = ChatRequest("auto", (ChatMessage("user", text),), sampling=sampling)
    decision = Router(rule, roles).decide(request)
    (reason,) = decision.reasons
    return decision.strategy, reason


def test_every_match_counts() -> None:
    assert decide("Do this, then that, then rest") == ("plan_execute_verify", r"2 cues ≥ 2: \b[Tt]hen\b ×2")
    assert decide("Then each") == ("plan_execute_verify", r"2 cues ≥ 2: \b[Tt]hen\b ×1, \beach\b ×1")
    assert decide("Hello there") == ("direct", "0 cues < 2")
    assert decide("Then what?") == ("direct", "1 cues < 2")


def test_no_cues_wanted_orchestrates_everything() -> None:
    assert decide("hi", DirectRule(min_cues=0)) == ("plan_execute_verify", "0 cues ≥ 0")


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n > 1"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_what_one_call_must_keep_is_direct(sampling: dict[str, Any], field: str) -> None:
    assert decide("Then each, then", **sampling) == (
        "direct",
        f"the request asks for {field}, which one call must keep",
    )


def test_harmless_fields_change_nothing() -> None:
    fields: dict[str, Any] = {"tools": [], "response_format": {"type": "text"}, "n": 1, "logprobs": False}
    assert decide("Then each", **fields)[0] == "plan_execute_verify"


def test_without_planner_or_executors_all_is_direct() -> None:
    for roles in (Roles(generalist=("g",)), Roles(generalist=("g",), planner=("p",))):
        assert decide("Then each", roles=roles) == ("direct", "no planner and executors are configured")


def test_long_prompts_are_direct() -> None:
    assert decide("then " * 21) == ("direct", "105 characters > 100")


def test_only_the_last_user_message_counts() -> None:
    turns = (ChatMessage("user", "then each then"), ChatMessage("assistant", "ok"), ChatMessage("user", "thanks"))
    router = Router(RULE, ROLES)
    assert router.decide(ChatRequest("auto", turns)).strategy == "direct"
    assert router.decide(ChatRequest("auto", turns[:2])).reasons == ("the conversation does not end with the user",)


def test_reasons_never_quote_the_prompt() -> None:
    assert "secret" not in decide("then each secret", DirectRule(cues=(r"\w+",)))[1]


def test_a_cue_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(ConfigError, match=r"coordinator.direct.cues: '\(' is no regular expression"):
        Router(DirectRule(cues=("(",)), ROLES)
