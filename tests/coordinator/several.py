"""Houses whose models give several whole answers, and a verifier that judges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from appliance.coordinator.options import CoordinatorOptions, Roles
from appliance.domain.request import CallContext, EngineCall
from tests.coordinator.house import OPTIONS, House, house
from tests.fakes.scripted_client import Reply

JUDGING = {"verifier": "instruct"}
"""The verifier understands whole answers."""

TWO_SIZES = replace(OPTIONS, allow_choice=True, roles=replace(OPTIONS.roles, generalist=("generalist", "generalist-2")))
"""`generalist` is the large model, `generalist-2` the small one."""

Script = Callable[[EngineCall, CallContext], Reply | str]


def answering(*answers: Reply | str, right: Mapping[str, float] | None = None) -> Script:
    """Generalists give `answers` in the order of the calls; the verifier says `right` of each result that it names."""
    seen: list[EngineCall] = []

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        if call.model_id == "verifier":
            prompt = str(call.messages[-1]["content"])
            result = prompt.rpartition("Result to check: ")[2].strip().strip('"')
            probability = (right or {})[result]
            word = "pass" if probability >= 0.5 else "fail"
            return Reply(pieces=("because", f"\n{word}"), probability=probability)
        seen.append(call)
        return answers[len(seen) - 1]

    return script


def judged(script: Script, options: CoordinatorOptions = TWO_SIZES, **kind: Any) -> House:
    """A house whose verifier understands whole answers."""
    return house(script, options=options, prompt_sets=JUDGING, **kind)


def without_verifier() -> CoordinatorOptions:
    """TWO_SIZES where nobody judges."""
    return replace(TWO_SIZES, roles=Roles(generalist=TWO_SIZES.roles.generalist))
