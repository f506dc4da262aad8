"""What the calls of a request took, added up: as a whole, by role and by model. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import CallRecord


@dataclass(slots=True)
class Tally:
    """Tokens and device-seconds so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    gpu_s: float = 0.0

    @property
    def usage(self) -> Usage:
        """The tokens."""
        return Usage(self.prompt_tokens, self.completion_tokens, self.cached_tokens)


@dataclass(frozen=True, slots=True)
class Tallies:
    """Roles and models stand in the order of their first calls."""

    whole: Tally = field(default_factory=Tally)
    by_role: Mapping[Role, Tally] = field(default_factory=dict)
    by_model: Mapping[str, Tally] = field(default_factory=dict)


def tallied(calls: Iterable[CallRecord]) -> Tallies:
    """All of it in one pass, failed calls included."""
    whole = Tally()
    by_role, by_model = defaultdict[Role, Tally](Tally), defaultdict[str, Tally](Tally)
    for call in calls:
        usage, gpu_s = call.usage, call.gpu_s
        for tally in (whole, by_role[call.role], by_model[call.model_id]):
            tally.prompt_tokens += usage.prompt_tokens
            tally.completion_tokens += usage.completion_tokens
            tally.cached_tokens += usage.cached_tokens
            tally.gpu_s += gpu_s
    return Tallies(whole, by_role, by_model)
