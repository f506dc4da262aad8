"""What the caller's fields mean for the call that writes the answer; no other call gets them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.coordinator.prompt_set import PromptSet
from appliance.domain.request import ChatRequest


def answer_params(prompts: PromptSet, params: Mapping[str, Any], request: ChatRequest) -> dict[str, Any]:
    """A role's request fields with the caller's over them.

    A stop sequence may stand in the working that comes before the answer, so where there is working the engine does
    not hear of it: `cut_at_stop` cuts the answer itself.
    """
    wishes = {**params, **request.sampling}
    if prompts.answer_separator:
        wishes.pop("stop", None)
    return wishes


def cut_at_stop(answer: str, stops: Sequence[str] | None) -> str:
    """A whole answer up to the first stop sequence, which is left out as OpenAI does it."""
    ends = [end for stop in stops or () if (end := answer.find(stop)) >= 0]
    return answer[: min(ends, default=len(answer))]
