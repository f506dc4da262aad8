"""What requests ask of the pool, summed up from their traces."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.domain.model import Role
from appliance.domain.trace import CallRecord, Trace
from appliance.placement.demand_watch import RoleTally, Tally


class DemandTally:
    """One window after the other. Requests for a model by its name count nothing: they are no role's."""

    def __init__(self, virtual_model: str) -> None:
        self._virtual_model = virtual_model
        self._tally = Tally()

    @property
    def requests(self) -> int:
        """Those of this window."""
        return self._tally.requests

    def record(self, trace: Trace) -> None:
        """Count the calls of one request that reached an engine."""
        if trace.requested_model != self._virtual_model or not trace.calls:
            return
        for key, call in _keyed(trace):
            one = RoleTally(1, call.usage.prompt_tokens, call.usage.completion_tokens)
            self._tally += Tally(0, {key: one})
        self._tally += Tally(1)

    def add(self, tally: Tally) -> None:
        """Count what was tallied elsewhere."""
        self._tally += tally

    def take(self) -> Tally:
        """This window; the next one begins."""
        taken, self._tally = self._tally, Tally()
        return taken


def _keyed(trace: Trace) -> Iterator[tuple[str, CallRecord]]:
    """The calls by role, as the configuration names it."""
    skills = {task.task_id: task.skill for task in trace.tasks}
    for call in trace.calls:
        if not call.engine_id:
            continue
        if call.role is not Role.EXECUTOR:
            yield call.role.value, call
        elif call.task_id in skills:
            yield f"executors.{skills[call.task_id]}", call
