"""The router: what is chosen, and the reasons it gives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.options import CoordinatorOptions, DirectRule, Roles
from appliance.coordinator.router import Router
from appliance.coordinator.routing_options import Condition, EffortLimits, Rule
from appliance.domain.request import ChatMessage, ChatRequest, Effort
from appliance.domain.strategy import HeadChoice
from appliance.domain.trace import Decision
from appliance.errors import ConfigError, InvalidRequest

KNOWN = ("direct", "passthrough", "plan_execute_verify", "debate", "short")
OPTIONS = CoordinatorOptions(
    roles=Roles(generalist=("g",), planner=("p",), executors={"math": ("m",)}),
    direct=DirectRule(cues=(r"\b[Tt]hen\b", r"\beach\b", r"[;.] "), min_cues=2, max_prompt_chars=100),
)


def asked(text: str = "Then each, then", **fields: Any) -> ChatRequest:
    return ChatRequest("auto", (ChatMessage("user", text),), **fields)


def decision(request: ChatRequest, tenant: str = "acme", **options: Any) -> Decision:
    return Router(replace(OPTIONS, **options).at(request.effort), KNOWN).decide(request, tenant)


def decide(text: str, **options: Any) -> tuple[str, str]:
    found = decision(asked(text), **options)
    (reason,) = found.reasons
    return found.strategy, reason


def test_every_match_counts() -> None:
    assert decide("Do this, then that, then rest") == ("plan_execute_verify", r"2 cues ≥ 2: \b[Tt]hen\b ×2")
    assert decide("Then each") == ("plan_execute_verify", r"2 cues ≥ 2: \b[Tt]hen\b ×1, \beach\b ×1")
    assert decide("Hello there") == ("direct", "0 cues < 2")
    assert decide("Then what?") == ("direct", "1 cues < 2")


def test_no_cues_wanted_orchestrates_everything() -> None:
    assert decide("hi", direct=DirectRule(min_cues=0)) == ("plan_execute_verify", "0 cues ≥ 0")


def test_the_configuration_names_what_easy_and_hard_requests_get() -> None:
    assert decide("hi", easy="short") == ("short", "0 cues < 2")
    assert decide("Then each", orchestrated="debate")[0] == "debate"


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs"),
        ({"n": 2}, "n > 1"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_what_one_call_must_keep_is_direct(sampling: dict[str, Any], field: str) -> None:
    rules = (Rule("all", "debate"),)
    reasons = (f"the request asks for {field}, which one call must keep",)
    assert decision(asked(sampling=sampling), rules=rules) == Decision("direct", reasons)


def test_tools_and_formats_are_orchestrated_where_a_synthesizer_writes_the_answer() -> None:
    writer = replace(OPTIONS.roles, synthesizer=("w",))
    caller = replace(writer, tool_callers=frozenset({"w"}))
    form: dict[str, Any] = {"response_format": {"type": "json_schema"}}
    tools: dict[str, Any] = {"tools": [{}]}

    def strategy(sampling: dict[str, Any], roles: Roles, **options: Any) -> str:
        return decision(asked(sampling=sampling), roles=roles, **options).strategy

    assert strategy(form, writer) == "plan_execute_verify"
    assert strategy(tools, caller) == "plan_execute_verify"
    assert strategy(tools, writer) == "direct"
    assert strategy({"logprobs": True}, caller) == "direct"
    assert strategy(tools, caller, orchestrated="debate") == "direct"
    with pytest.raises(InvalidRequest, match="strategy: debate can't keep tools"):
        decision(asked(sampling=tools, strategy="debate"), roles=caller, allow_choice=True)


def test_harmless_fields_change_nothing() -> None:
    fields: dict[str, Any] = {"tools": [], "response_format": {"type": "text"}, "n": 1, "logprobs": False}
    assert decision(asked("Then each", sampling=fields)).strategy == "plan_execute_verify"


def test_without_planner_or_executors_nothing_is_planned() -> None:
    for roles in (Roles(generalist=("g",)), Roles(generalist=("g",), planner=("p",))):
        found = decision(asked("Then each"), roles=roles)
        assert found.strategy == "direct"
        assert found.reasons[1:] == ("no planner and executors are configured",)
        assert decision(asked("Then each"), roles=roles, easy="short").strategy == "short"


def test_long_prompts_are_easy() -> None:
    assert decide("then " * 21) == ("direct", "105 characters > 100")


def test_only_the_last_user_message_counts() -> None:
    turns = (ChatMessage("user", "then each then"), ChatMessage("assistant", "ok"), ChatMessage("user", "thanks"))
    assert decision(ChatRequest("auto", turns)).strategy == "direct"
    assert decision(ChatRequest("auto", turns[:2])).reasons == ("the conversation does not end with the user",)


def test_reasons_never_quote_the_prompt() -> None:
    assert "secret" not in decide("then each secret", direct=DirectRule(cues=(r"\w+",)))[1]
    rules = (Rule("r", "debate", Condition(pattern=r"\w+$", min_prompt_chars=1)),)
    assert "secret" not in decide("then each secret", rules=rules)[1]


def test_a_cue_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(ConfigError, match=r"coordinator.direct.cues: '\(' is no regular expression"):
        Router(replace(OPTIONS, direct=DirectRule(cues=("(",))), KNOWN)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition(), "every request"),
        (Condition(tenants=("acme", "other")), "tenant acme"),
        (Condition(tenants=("other",)), None),
        (Condition(labels=("public", "code")), "label code"),
        (Condition(labels=("secret",)), None),
        (Condition(effort=(Effort.MEDIUM,)), "effort medium"),
        (Condition(effort=(Effort.LOW, Effort.HIGH)), None),
        (Condition(min_prompt_chars=15), "15 characters ≥ 15"),
        (Condition(min_prompt_chars=16), None),
        (Condition(max_prompt_chars=15), "15 characters ≤ 15"),
        (Condition(max_prompt_chars=14), None),
        (Condition(tools=False), "no tools offered"),
        (Condition(tools=True), None),
        (Condition(pattern="each"), "pattern each"),
        (Condition(pattern="^each"), None),
        (Condition(tenants=("acme",), labels=("code",), tools=False), "tenant acme, label code, no tools offered"),
        (Condition(tenants=("acme",), labels=("secret",)), None),
    ],
)
def test_a_rule_matches_when_all_of_it_holds(condition: Condition, reason: str | None) -> None:
    rules = (Rule("mine", "debate", condition),)
    found = decision(asked(labels=("pii", "code")), rules=rules)
    if reason is None:
        assert found.strategy == "plan_execute_verify"
    else:
        assert found == Decision("debate", (f"rule mine: {reason}",))


def test_the_first_rule_that_matches_decides() -> None:
    rules = (
        Rule("other", "short", Condition(tenants=("other",))),
        Rule("each", "debate", Condition(pattern="each")),
        Rule("rest", "direct"),
    )
    assert decision(asked(), rules=rules).strategy == "debate"
    assert decision(asked(), "other", rules=rules).strategy == "short"
    assert decision(asked("hi"), rules=rules) == Decision("direct", ("rule rest: every request",))


def test_an_effort_bounds_what_rules_and_cues_may_choose() -> None:
    rules = (Rule("all", "debate"),)
    found = decision(asked(effort=Effort.LOW), rules=rules)
    assert found == Decision("direct", ("rule all: every request", "effort low does not allow debate"))
    efforts = {Effort.LOW: EffortLimits(strategies=("short",))}
    assert decision(asked(effort=Effort.LOW), rules=rules, efforts=efforts, easy="short").strategy == "short"
    assert decision(asked(effort=Effort.LOW), rules=rules, efforts=efforts).strategy == "direct"


def test_a_high_effort_plans_with_fewer_cues() -> None:
    assert decision(asked("Then what?", effort=Effort.HIGH)).strategy == "plan_execute_verify"
    assert decision(asked("hi", effort=Effort.HIGH)).strategy == "direct"


def test_the_callers_choice_holds_where_the_configuration_allows_it() -> None:
    rules = (Rule("all", "short"),)
    found = decision(asked(strategy="debate"), allow_choice=True, rules=rules)
    assert found == Decision("debate", ("the caller chose it",))


@pytest.mark.parametrize(
    ("request_", "options", "words"),
    [
        (asked(strategy="debate"), {}, "callers may not choose here"),
        (asked(strategy="magic"), {"allow_choice": True}, "there is none of the name magic; known: direct, plan"),
        (asked(strategy="passthrough"), {"allow_choice": True}, "there is none"),
        (asked(strategy="debate", effort=Effort.LOW), {"allow_choice": True}, "effort low does not allow debate"),
        (
            asked(strategy="plan_execute_verify"),
            {"allow_choice": True, "roles": Roles(generalist=("g",))},
            "no planner",
        ),
    ],
)
def test_a_choice_that_cant_be_had_is_refused(request_: ChatRequest, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        decision(request_, **options)
    assert refused.value.param == "strategy"


def with_head(
    request: ChatRequest, choice: HeadChoice | None, **options: Any
) -> tuple[Decision, list[tuple[str, ...]]]:
    """The decision, and the strategies that the head was asked about."""
    asked_about: list[tuple[str, ...]] = []

    def suggest(_prompt: str, strategies: Collection[str]) -> HeadChoice | None:
        asked_about.append(tuple(strategies))
        return choice

    router = Router(replace(OPTIONS, **options).at(request.effort), KNOWN)
    return router.decide(request, "acme", suggest), asked_about


def test_a_learned_head_decides_before_the_cues() -> None:
    found, about = with_head(asked("hi"), HeadChoice("debate", "head 7: debate", shadow=False))
    assert found == Decision("debate", ("head 7: debate",), "debate", head_decided=True)
    assert about == [("direct", "plan_execute_verify", "debate", "short")]


def test_in_shadow_it_stands_on_paper() -> None:
    found, _ = with_head(asked("hi"), HeadChoice("debate", "head 7: debate", shadow=True))
    assert (found.strategy, found.reasons) == ("direct", ("0 cues < 2",))
    assert (found.head_strategy, found.head_decided) == ("debate", False)


def test_where_it_says_nothing_the_cues_decide() -> None:
    found, _ = with_head(asked("hi"), None)
    assert found == Decision("direct", ("0 cues < 2",))


def test_it_is_asked_about_what_the_effort_allows_only() -> None:
    _, about = with_head(asked("hi", effort=Effort.LOW), None)
    assert about == [("direct",)]


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        (asked("hi"), {"rules": (Rule("r", "short", Condition(pattern="hi")),)}),
        (asked("hi", strategy="short"), {"allow_choice": True}),
        (asked("hi", sampling={"logprobs": True}), {}),
    ],
)
def test_it_is_not_asked_where_something_decided_before(request_: ChatRequest, options: dict[str, Any]) -> None:
    found, about = with_head(request_, HeadChoice("debate", "head", shadow=False), **options)
    assert about == []
    assert found.strategy != "debate"
    assert not found.head_decided
