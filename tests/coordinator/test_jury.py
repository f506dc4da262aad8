from __future__ import annotations

from dataclasses import replace

from appliance.coordinator.jury import jury
from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.prompts import load_prompt_sets
from appliance.domain.request import CallContext, EngineCall
from appliance.errors import EngineUnavailable
from tests.coordinator.house import CHAIN, OPTIONS, asks, content, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run

SETS = load_prompt_sets(("starter", "instruct"))
INSTRUCT = dict.fromkeys(("a", "b", "c", "d"), SETS["instruct"])
FAMILIES = {"a": "north", "b": "north", "c": "south"}


def test_another_family_comes_first_then_other_models_and_the_author_last() -> None:
    assert jury(("a", "b", "c"), INSTRUCT, FAMILIES, "math", "a") == ("c", "b", "a")
    assert jury(("b", "c", "a"), INSTRUCT, FAMILIES, "math", "c") == ("b", "a", "c")
    assert jury(("d", "c"), INSTRUCT, FAMILIES, "math", "a") == ("d", "c"), "no family is nobody's family"
    assert jury(("a",), INSTRUCT, FAMILIES, "math", "a") == ("a",)


def test_a_verifier_is_not_asked_about_skills_that_it_does_not_know() -> None:
    sets = INSTRUCT | {"a": SETS["starter"]}
    assert jury(("a", "b"), sets, {}, "law", "x") == ("b",)
    assert jury(("a",), sets, {}, "text", "x") == ("a",)
    assert jury(("a",), sets, {}, "answer", "x") == ()


def with_verifiers(*models: str) -> CoordinatorOptions:
    return replace(OPTIONS, roles=replace(OPTIONS.roles, verifier=models))


def verdicts(call: EngineCall, ctx: CallContext) -> Reply | str:
    """`math` and `generalist` are verifiers as well here."""
    prompt = str(call.messages[-1]["content"])
    return sound(replace(call, model_id="verifier"), ctx) if " = " in prompt else sound(call, ctx)


def test_the_author_judges_only_where_nobody_else_can_and_the_trace_says_so() -> None:
    async def main(*verifiers: str, down: tuple[str, ...] = ()) -> set[tuple[str, bool]]:
        built = house(verdicts, options=with_verifiers(*verifiers), down=down)
        assert content(await events_of(built, asks())) == "79"
        assert all(v.rule.endswith(", self-judged") is v.self_judged for v in built.trace.verdicts)
        return {(v.verifier_model_id, v.self_judged) for v in built.trace.verdicts}

    assert run(main("math", "generalist")) == {("generalist", False)}
    assert run(main("math")) == {("math", True)}
    assert run(main("math", "generalist", down=("generalist",))) == {("math", True)}


def test_a_skill_that_no_verifier_knows_is_taken_unverified() -> None:
    plan = CHAIN.replace('"math"', '"sums"')
    roles = replace(OPTIONS.roles, executors={"sums": ("math",)})

    async def main() -> None:
        built = house(
            lambda call, ctx: plan if call.model_id == "planner" else sound(call, ctx),
            options=replace(OPTIONS, roles=roles),
        )
        assert content(await events_of(built, asks())) == "79"
        assert built.trace.verdicts == ()
        assert built.client.prompts("verifier") == []

    run(main())


def test_a_measured_threshold_counts_for_its_verifier_and_class_only() -> None:
    async def main() -> list[tuple[float, bool]]:
        thresholds = {("verifier", "math"): 0.25, ("verifier", "text"): 0.75, ("other", "math"): 0.1}
        verification = replace(OPTIONS.verification, thresholds=thresholds)
        built = house(options=replace(OPTIONS, verification=verification))
        await events_of(built, asks())
        return [(v.threshold, v.calibrated) for v in built.trace.verdicts]

    assert run(main()) == [(0.25, True)] * 2


def test_verifiers_that_do_not_answer_are_given_up_and_those_of_other_skills_go_on() -> None:
    plan = (
        '{"steps": [{"id": "s1", "skill": "sums", "do": "12*7"}, {"id": "s2", "skill": "math", "do": "$s1-5"},'
        ' {"id": "s3", "skill": "sums", "do": "$s2+1"}]}'
    )
    roles = replace(OPTIONS.roles, executors={"sums": ("math",), "math": ("math",)}, verifier=("verifier", "math-2"))

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "planner":
            return plan
        if call.model_id == "math-2":
            return Reply(error=EngineUnavailable("down"))
        return sound(call, ctx)

    async def main() -> None:
        built = house(script, options=replace(OPTIONS, roles=roles), prompt_sets={"math-2": "instruct"})
        assert content(await events_of(built, asks())) == "80"
        assert [v.task_id for v in built.trace.verdicts] == ["s2"], "the starter verifier knows no sums"
        assert len(built.client.prompts("math-2")) == 1
        assert [f.action for f in built.trace.fallbacks] == ["results are taken unverified"]

    run(main())


def test_checks_are_left_out_where_verification_is_switched_off() -> None:
    async def main() -> None:
        off = replace(OPTIONS, verification=replace(OPTIONS.verification, enabled=False, infer_checks=True))
        built = house(lambda call, ctx: "85" if call.model_id == "math" else sound(call, ctx), options=off)
        assert content(await events_of(built, asks())) == "85"
        assert built.trace.verdicts == ()

    run(main())
