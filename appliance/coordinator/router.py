"""The strategy for a request: rules, each with its reason. Pure.

1. Without a planner and executors everything is direct.
2. What only one call can keep (tools, a response format, several choices, logprobs) is direct.
3. A conversation that does not end with the user is direct.
4. A very long prompt is direct.
5. Enough cues in the last user message: orchestrate; else direct.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.coordinator.options import DirectRule, Roles
from appliance.domain.request import ChatRequest
from appliance.domain.trace import Decision
from appliance.errors import ConfigError

DIRECT = "direct"
PASSTHROUGH = "passthrough"
ORCHESTRATED = "plan_execute_verify"


class Router:
    """The rules of one configuration, compiled once. Raises ConfigError for a cue that is no regular expression."""

    def __init__(self, rule: DirectRule, roles: Roles) -> None:
        self._rule = rule
        self._can_plan = bool(roles.planner and roles.executors)
        self._cues = tuple(_compiled(cue) for cue in rule.cues)

    def decide(self, request: ChatRequest) -> Decision:
        """The strategy and why. The reasons quote the configuration, never the prompt."""
        reason = next(self._direct_reasons(request), None)
        if reason is not None:
            return Decision(DIRECT, (reason,))
        counts = [(cue.pattern, len(cue.findall(request.messages[-1].content))) for cue in self._cues]
        found, wanted = sum(count for _, count in counts), self._rule.min_cues
        if found < wanted:
            return Decision(DIRECT, (f"{found} cues < {wanted}",))
        which = ", ".join(f"{pattern} ×{count}" for pattern, count in counts if count)
        return Decision(ORCHESTRATED, (f"{found} cues ≥ {wanted}" + (f": {which}" if which else ""),))

    def _direct_reasons(self, request: ChatRequest) -> Iterator[str]:
        if not self._can_plan:
            yield "no planner and executors are configured"
        for field in _one_call_fields(request):
            yield f"the request asks for {field}, which one call must keep"
        last = request.messages[-1] if request.messages else None
        if last is None or last.role != "user":
            yield "the conversation does not end with the user"
        elif len(last.content) > self._rule.max_prompt_chars:
            yield f"{len(last.content)} characters > {self._rule.max_prompt_chars}"


def _one_call_fields(request: ChatRequest) -> Iterator[str]:
    sampling = request.sampling
    if sampling.get("tools"):
        yield "tools"
    response_format = sampling.get("response_format")
    if response_format and response_format.get("type") != "text":
        yield "response_format"
    if (sampling.get("n") or 1) > 1:
        yield "n > 1"
    if sampling.get("logprobs"):
        yield "logprobs"


def _compiled(cue: str) -> re.Pattern[str]:
    try:
        return re.compile(cue)
    except re.error as error:
        raise ConfigError(f"coordinator.direct.cues: {cue!r} is no regular expression: {error}") from None
