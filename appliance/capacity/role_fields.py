"""What a role asks an engine for beside its text: calls without that would be cheaper than those of the role. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from appliance.coordinator.verifier import TOP_LOGPROBS
from appliance.domain.model import Role
from appliance.domain.trace import Trace

_ENDLESS: Final = r"[^\n\r]{4000}"
"""No answer of a load is as long, so that the engine holds to it until the answer's last token."""

_FIELDS: Final[Mapping[Role, Mapping[str, Any]]] = {
    Role.PLANNER: {"structured_outputs": {"regex": _ENDLESS}},
    Role.VERIFIER: {"logprobs": True, "top_logprobs": TOP_LOGPROBS},
}


def fields_by_model(traces: Iterable[Trace]) -> dict[str, Mapping[str, Any]]:
    """Fields of the request in which each model is mostly asked, by the tokens that it made in each role."""
    made: dict[str, Counter[Role]] = {}
    for trace in traces:
        for call in trace.calls:
            made.setdefault(call.model_id, Counter())[call.role] += call.usage.completion_tokens
    return {model_id: _FIELDS.get(roles.most_common(1)[0][0], {}) for model_id, roles in made.items()}
