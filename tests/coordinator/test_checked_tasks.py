"""Checks of a plan at work: what they decide costs no verifier, and what they leave open goes to it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.coordinator.task_graph import PlanRejected, Task, parse_plan
from appliance.domain.request import CallContext, EngineCall
from appliance.domain.trace import Outcome, Verdict
from tests.coordinator.house import CHAIN, OPTIONS, House, asks, content, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

INFERRING = replace(OPTIONS, verification=replace(OPTIONS.verification, infer_checks=True))


def planned(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": [{"id": f"s{n}", "skill": "math", **step} for n, step in enumerate(steps, 1)]})


async def answered(plan: str, *results: str, infer: bool = False, keep_content: bool = False) -> tuple[House, str]:
    """The planner writes `plan`; the executor gives one of `results` after the other."""
    left = list(results)

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return plan
        if call.model_id == "verifier":
            return Reply("again;pass", probability=0.9)
        return left.pop(0) if left and call.model_id == "math" else sound(call, ctx)

    built = house(script, options=INFERRING if infer else OPTIONS)
    events = await events_of(built, asks(), keep_content=keep_content)
    return built, content(events)


def test_arithmetic_ends_verification_and_its_reason_is_kept_with_contents_only() -> None:
    async def main(keep: bool) -> None:
        plan = planned({"do": "Multiply", "check": {"arithmetic": "12*7"}})
        built, answer = await answered(plan, "85", "84", keep_content=keep)
        assert answer == "84"
        assert built.client.prompts("verifier") == []
        first, second = built.trace.verdicts
        assert (first.verdict, first.rule, first.probability) == (Verdict.FAIL, "arithmetic", 0.0)
        assert first.reason == ("12*7 is 84, not 85" if keep else "")
        assert (second.verdict, second.rule, second.probability) == (Verdict.PASS, "arithmetic", 1.0)
        assert second.verifier_model_id == ""

    run(main(keep=True))
    run(main(keep=False))


def test_a_form_that_fails_costs_no_verifier_and_one_that_passes_is_followed_by_it() -> None:
    async def main() -> None:
        built, answer = await answered(planned({"do": "How many?", "output": "number"}), "many", "84")
        assert answer == "84"
        assert [(v.verdict, v.rule) for v in built.trace.verdicts] == [
            (Verdict.FAIL, "output"),
            (Verdict.PASS, "verdict token"),
        ]
        assert len(built.client.prompts("verifier")) == 1

    run(main())


def test_rules_refer_to_earlier_results() -> None:
    async def main() -> None:
        steps = ({"do": "12*7"}, {"do": "Take 5 off $s1", "check": {"arithmetic": "$s1-5"}})
        built, answer = await answered(planned(*steps), "84", "79")
        assert answer == "79"
        assert [v.rule for v in built.trace.verdicts] == ["verdict token", "arithmetic"]

    run(main())


def test_quotes_are_looked_for_in_the_results_that_the_plan_names() -> None:
    async def main() -> None:
        quoting = {"do": "Quote it", "check": {"quotes_from": ["s1", "question"]}}
        built, _ = await answered(planned({"do": "Report"}, quoting), "the pump failed", '"pump fell"', '"pump failed"')
        assert built.trace.tasks[1].needs == ("s1",)
        assert [(v.task_id, v.rule) for v in built.trace.verdicts][1:] == [("s2", "quotes"), ("s2", "verdict token")]

    run(main())


def test_pure_arithmetic_is_reckoned_where_that_is_allowed() -> None:
    async def main() -> None:
        built, answer = await answered(CHAIN, infer=True)
        assert answer == "79"
        assert [v.rule for v in built.trace.verdicts] == ["arithmetic", "arithmetic"]
        assert built.client.prompts("verifier") == []

    run(main())


def test_checks_hold_where_no_verifier_is_configured() -> None:
    async def main() -> None:
        options = replace(INFERRING, roles=replace(OPTIONS.roles, verifier=()))
        left = ["wrong 85"]

        def script(call: EngineCall, ctx: CallContext) -> Reply | str:
            return left.pop() if left and call.model_id == "math" else sound(call, ctx)

        built = house(script, options=options)
        assert content(await events_of(built, asks())) == "79"
        assert [v.verdict for v in built.trace.verdicts] == [Verdict.FAIL, Verdict.PASS, Verdict.PASS]

    run(main())


def test_checks_are_part_of_the_plan_and_make_their_sources_needed() -> None:
    graph = parse_plan(planned({"do": "a"}, {"do": "b", "check": {"arithmetic": "$s1+1"}}), ("math",), 4)
    assert not isinstance(graph, PlanRejected)
    assert graph.tasks[1].needs == ("s1",)
    assert isinstance(graph.tasks[1], Task)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"do": "a", "check": {"shell": "rm"}}, "step 1: its check is not an object with keys among"),
        ({"do": "a", "check": {"quotes_from": ["s9"]}}, "step 1: needs a step that is not there"),
        ({"do": "a", "check": {"arithmetic": "$s1+1"}}, "step 1: needs itself or a later step"),
        ({"do": "a", "verify": True}, "step 1: not an object with the keys id, skill and do"),
    ],
)
def test_a_plan_with_a_check_that_can_not_be_made_is_rejected(step: dict[str, Any], reason: str) -> None:
    rejected = parse_plan(planned(step), ("math",), 4)
    assert isinstance(rejected, PlanRejected)
    assert reason in rejected.reasons[0]


def test_executor_and_verifier_are_told_the_form() -> None:
    async def main() -> None:
        plan = planned({"do": "Weigh it", "check": {"unit": "kg"}})

        def script(call: EngineCall, _ctx: CallContext) -> Reply | str:
            if call.model_id == "planner":
                return plan
            return Reply("fine\npass", probability=0.9) if call.model_id == "verifier" else "84 kg"

        sets = {"math": "instruct", "verifier": "instruct"}
        built = house(script, prompt_sets=sets)
        await events_of(built, asks())
        for model_id in sets:
            (prompt,) = built.client.prompts(model_id)
            assert '- "one number with the unit kg"' in prompt
        assert built.trace.outcome is Outcome.OK

    run(main())
