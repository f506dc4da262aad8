"""Which of the calls that wait for a model goes next. Pure.

Requests are ranked, not calls. The rank of a request is the service that it is expected to need yet: as many calls as
its task graph has left where that is known, else as much as it has had, which is least attained service (a request
that has had much will need much). Ranks are rounded to levels, so that requests of about the same size keep the order
in which they came instead of overtaking each other with every call.

1. Who has waited for PATIENCE_S goes before all others, the longest wait first: nobody starves.
2. Who can still meet its deadline goes before who can't.
3. The lower level.
4. The earlier request, where each call that must still follow on the longest path counts as time that has passed.
5. Of one request, the call with the longer path behind it; then the earlier call; then the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log

PATIENCE_S = 600.0
"""After this wait only calls that joined the line earlier go first. Less of it costs more than it gives: see
docs/scheduling.md."""

LEVEL_RATIO = 1.5
"""Expected service of a level over that of the one below."""

Place = tuple[bool, int, float, int, float, str]
"""Late, level, due, longer paths first, joined, id: the smaller one goes first."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call in a line. Times are seconds on one monotonic clock.

    `arrived_s`: when its request came; `came_s`: when the call joined the line. `attained_s`: slots of engines times
    seconds that the request has had. `calls_left`: calls of the request that have not ended, this one included; None
    where nobody knows. `calls_after`: those of them that must follow this call, one after the other.
    """

    request_id: str
    arrived_s: float
    came_s: float
    deadline_s: float
    attained_s: float = 0.0
    calls_left: int | None = None
    calls_after: int = 0


def level_of(waiting: Waiting, call_s: float) -> int:
    """The level of its request, 0 for one call or less; `call_s` is what a call takes on average."""
    known = waiting.calls_left
    calls = waiting.attained_s / call_s if known is None else known
    return floor(log(calls, LEVEL_RATIO) + 1e-9) if calls > 1 else 0


def place_of(waiting: Waiting, now_s: float, call_s: float) -> Place:
    """Its place among those that have not waited for PATIENCE_S. It only falls back while time passes."""
    late = now_s + (waiting.calls_after + 1) * call_s > waiting.deadline_s
    due_s = waiting.arrived_s - waiting.calls_after * call_s
    level = level_of(waiting, call_s)
    return late, level, due_s, -waiting.calls_after, waiting.came_s, waiting.request_id


def next_of(line: Sequence[Waiting], now_s: float, call_s: float) -> int:
    """The index of the call that goes next: what `Line` finds without looking at all of them."""
    oldest = min(range(len(line)), key=lambda i: line[i].came_s)
    if now_s - line[oldest].came_s >= PATIENCE_S:
        return oldest
    return min(range(len(line)), key=lambda i: place_of(line[i], now_s, call_s))
