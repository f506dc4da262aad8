"""Traces → samples of request trees: what each call waited for, and the coordinator's own time between. Pure.

A trace has times and tasks, and no list of causes. They follow from its structure: an executor's first attempt waits
for its plan and for the tasks that it needs, another attempt for the one before, a verdict for what it judges, a
synthesis for all. Where that says nothing, a call waited for the one that ended last before it began. A call that began
while its planner was still writing waits for as many tokens of the plan as were there then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from appliance.capacity.trees import CallShape, TreeSample
from appliance.coordinator.critical_path import calls_after, calls_left
from appliance.coordinator.options import CoordinatorOptions, Roles, Verification
from appliance.domain.model import Role
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.trace import CallRecord, Outcome, Trace

_SAME_MOMENT_S = 1e-4


def trees_of(traces: Iterable[Trace], door_s: float = 0.0) -> dict[str, tuple[TreeSample, ...]]:
    """By strategy, the trees of those traces that were answered. `door_s` is what a caller waits beside the trace."""
    found: dict[str, list[TreeSample]] = {}
    for trace in traces:
        calls = _made(trace)
        if trace.outcome is Outcome.OK and calls:
            found.setdefault(trace.decision.strategy, []).append(_tree(trace, calls, door_s))
    return {strategy: tuple(trees) for strategy, trees in found.items()}


def with_shared_prompts(trees: Mapping[str, Sequence[TreeSample]]) -> dict[str, tuple[TreeSample, ...]]:
    """Calls share with others of their role and model what the engine was seen to find in its cache for any of them."""
    most: dict[tuple[Role, str], int] = {}
    for call in (call for each in trees.values() for tree in each for call in tree.calls):
        key = call.role, call.model_id
        most[key] = max(most.get(key, 0), call.shared_tokens)
    return {
        strategy: tuple(
            replace(
                tree,
                calls=tuple(
                    replace(call, shared_tokens=min(call.prompt_tokens, most[call.role, call.model_id]))
                    for call in tree.calls
                ),
            )
            for tree in each
        )
        for strategy, each in trees.items()
    }


def _made(trace: Trace) -> list[CallRecord]:
    """Calls that an engine worked on, in the order of their beginning."""
    worked = [call for call in trace.calls if call.engine_id and call.usage.completion_tokens > 0]
    return sorted(worked, key=lambda call: call.started_s)


def _tree(trace: Trace, calls: Sequence[CallRecord], door_s: float) -> TreeSample:
    causes = _Causes(trace, calls)
    options = _options_of(calls)
    shapes = tuple(_shape(trace, calls, place, causes, options, door_s) for place in range(len(calls)))
    last_s = max(0.0, trace.duration_s - max(call.ended_s for call in calls))
    return TreeSample(shapes, last_s, _streamed_by(trace, calls))


def _shape(
    trace: Trace,
    calls: Sequence[CallRecord],
    place: int,
    causes: _Causes,
    options: CoordinatorOptions,
    door_s: float,
) -> CallShape:
    call = calls[place]
    waits_for = causes.of(place)
    after_token: int | None = None
    since_s = -door_s
    if waits_for:
        last = calls[waits_for[-1]]
        since_s = last.ended_s
        if last.ended_s > call.started_s + _SAME_MOMENT_S:
            after_token, since_s = _token_at(last, call.started_s)
        since_s = max([since_s, *(calls[other].ended_s for other in waits_for[:-1])])
    return CallShape(
        call.role,
        call.model_id,
        call.usage.prompt_tokens,
        call.usage.completion_tokens,
        min(call.usage.cached_tokens, call.usage.prompt_tokens),
        waits_for,
        max(0.0, call.started_s - since_s),
        after_token,
        calls_after(options, call.role, _tasks_after(trace, call.task_id)),
        _calls_left(trace, calls, place, options),
    )


@dataclass(frozen=True, slots=True)
class _Causes:
    """Which calls of a trace others waited for."""

    trace: Trace
    calls: Sequence[CallRecord]

    def of(self, place: int) -> tuple[int, ...]:
        """Places of the calls that this one waited for; the one whose end or token set it going is the last."""
        call = self.calls[place]
        found = {other for other in self._by_structure(place) if self._before(other, call)}
        if not found:
            ended = [n for n in range(place) if self.calls[n].ended_s <= call.started_s + _SAME_MOMENT_S]
            found = {max(ended, key=lambda n: self.calls[n].ended_s)} if ended else set()
        return tuple(sorted(found, key=lambda n: (self.calls[n].ended_s, n)))

    def _before(self, other: int, call: CallRecord) -> bool:
        """Whether it had ended by then, or is a planner that was writing: only that one is read while it is made."""
        earlier = self.calls[other]
        if earlier.ended_s <= call.started_s + _SAME_MOMENT_S:
            return True
        first = earlier.first_token_s
        began = first is not None and earlier.started_s + earlier.queue_s + first <= call.started_s
        return earlier.role is Role.PLANNER and call.role is not Role.PLANNER and began

    def _by_structure(self, place: int) -> set[int]:
        call, earlier = self.calls[place], range(place)
        same_task = [n for n in earlier if self.calls[n].task_id == call.task_id]
        if call.role is Role.SYNTHESIZER:
            return {n for n in earlier if self.calls[n].role is not Role.SYNTHESIZER}
        if call.role is Role.VERIFIER:
            made = [n for n in same_task if self.calls[n].role is not Role.VERIFIER]
            of_attempt = [n for n in made if self.calls[n].attempt == call.attempt]
            return set((of_attempt or made)[-1:])
        if call.role is not Role.EXECUTOR:
            return set()
        if same_task:
            return {same_task[-1]}
        return self._plan_of(place) | self._needs_of(call.task_id, earlier)

    def _plan_of(self, place: int) -> set[int]:
        outer = self.trace.parent_of(self.calls[place].task_id)
        planners = [n for n in range(place) if self.calls[n].role is Role.PLANNER]
        own = [n for n in planners if outer is None or self.calls[n].task_id == outer]
        return set((own or planners)[-1:])

    def _needs_of(self, task_id: str, earlier: range) -> set[int]:
        needs = next((task.needs for task in self.trace.tasks if task.task_id == task_id), ())
        found = set()
        for need in needs:
            of_need = [n for n in earlier if self.calls[n].task_id == need]
            found |= set(of_need[-1:])
        return found


def _token_at(call: CallRecord, at_s: float) -> tuple[int, float]:
    """How many tokens of the call were there at a moment, and when the last one of them came."""
    first_s = call.started_s + call.queue_s + (call.first_token_s or 0.0)
    each_s = (call.ended_s - first_s) / max(1, call.usage.completion_tokens - 1)
    tokens = min(call.usage.completion_tokens, 1 + int((at_s - first_s) / each_s)) if each_s > 0 else 1
    return tokens, first_s + (tokens - 1) * each_s


def _streamed_by(trace: Trace, calls: Sequence[CallRecord]) -> int | None:
    """A single answer is relayed as it comes, and so is a synthesis; what is judged first comes whole."""
    if len(calls) == 1 and calls[0].role is Role.GENERALIST:
        return 0
    last = max(range(len(calls)), key=lambda n: calls[n].ended_s)
    streams = calls[last].role is Role.SYNTHESIZER or trace.decision.strategy == PASSTHROUGH
    return last if streams else None


def _options_of(calls: Sequence[CallRecord]) -> CoordinatorOptions:
    """As much of the coordinator's options as the trace shows: whether there are verdicts and a synthesis."""
    models = {role: tuple(dict.fromkeys(call.model_id for call in calls if call.role is role)) for role in Role}
    roles = Roles((), models[Role.PLANNER], {}, models[Role.VERIFIER], models[Role.SYNTHESIZER])
    return CoordinatorOptions(roles, verification=Verification(enabled=bool(roles.verifier)))


def _tasks_after(trace: Trace, task_id: str) -> int:
    """The longest chain of tasks that wait for this one."""
    longest = 0
    for task in trace.tasks:
        if task_id in task.needs:
            longest = max(longest, 1 + _tasks_after(trace, task.task_id))
    return longest


def _calls_left(trace: Trace, calls: Sequence[CallRecord], place: int, options: CoordinatorOptions) -> int | None:
    """As the coordinator tells it: nothing before the whole plan is known, then by the tasks that are not finished."""
    call = calls[place]
    if not trace.tasks:
        return None
    planners = [other for other in calls if other.role is Role.PLANNER and "." not in other.task_id]
    if not planners or planners[-1].ended_s > call.started_s:
        return None
    ends = {task.task_id: _task_end(calls, task.task_id) for task in trace.tasks if "." not in task.task_id}
    return calls_left(options, sum(end_s > call.started_s + _SAME_MOMENT_S for end_s in ends.values()))


def _task_end(calls: Sequence[CallRecord], task_id: str) -> float:
    return max((other.ended_s for other in calls if other.task_id == task_id), default=0.0)
