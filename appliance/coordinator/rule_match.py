"""Whether a request is what a rule asks for, and what of it matched. Pure; nothing of a prompt is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.coordinator.routing_options import Condition
from appliance.domain.request import ChatRequest


class Matcher:
    """One condition, its pattern compiled once."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._pattern = None if condition.pattern is None else re.compile(condition.pattern)

    def matched(self, request: ChatRequest, tenant: str) -> tuple[str, ...] | None:
        """What matched, in the order of the condition's fields; None when something did not."""
        found = tuple(self._findings(request, tenant))
        return tuple(finding for finding in found if finding is not None) if None not in found else None

    def _findings(self, request: ChatRequest, tenant: str) -> Iterator[str | None]:
        """One text for each thing that is asked for; None where it is not so."""
        asked = self._condition
        if asked.tenants:
            yield f"tenant {tenant}" if tenant in asked.tenants else None
        if asked.labels:
            shared = [label for label in request.labels if label in asked.labels]
            yield f"label {', '.join(shared)}" if shared else None
        if asked.effort:
            yield f"effort {request.effort.value}" if request.effort in asked.effort else None
        chars = sum(len(message.content) for message in request.messages)
        if asked.min_prompt_chars is not None:
            yield f"{chars} characters ≥ {asked.min_prompt_chars}" if chars >= asked.min_prompt_chars else None
        if asked.max_prompt_chars is not None:
            yield f"{chars} characters ≤ {asked.max_prompt_chars}" if chars <= asked.max_prompt_chars else None
        if asked.tools is not None:
            offered = bool(request.sampling.get("tools"))
            yield f"{'tools' if offered else 'no tools'} offered" if offered is asked.tools else None
        if self._pattern is not None:
            last = request.messages[-1].content if request.messages else ""
            yield f"pattern {self._pattern.pattern}" if self._pattern.search(last) else None
