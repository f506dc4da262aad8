"""Traces → what a whole tree of calls took: fan-out, critical path, waiting in line at each hop, by role. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from appliance.bench.metrics import Summary, summary
from appliance.domain.trace import CallRecord, Trace

_SLACK_S: Final = 0.002
"""A call that began so much before another one's end may still have waited for it: clocks are read one after the
other."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One request. `path` are the calls that its duration is made of, first to last."""

    fan_out: int
    width: int
    """Calls at the same time, at the most."""
    tasks: int
    duration_s: float
    path: tuple[CallRecord, ...]
    calls: tuple[CallRecord, ...]

    @property
    def path_s(self) -> float:
        """Waiting and work of the calls on the critical path."""
        return sum(call.queue_s + call.engine_s for call in self.path)


@dataclass(frozen=True, slots=True)
class RoleFigures:
    """Of the calls of one role."""

    calls_per_request: float
    queue_s: Summary
    engine_s: Summary
    first_token_s: Summary
    prompt_tokens: Summary
    completion_tokens: Summary
    gpu_s_per_request: float

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        summaries = ("queue_s", "engine_s", "first_token_s", "prompt_tokens", "completion_tokens")
        return {
            "calls_per_request": round(self.calls_per_request, 4),
            "gpu_s_per_request": round(self.gpu_s_per_request, 6),
            **{name: getattr(self, name).as_document() for name in summaries},
        }


@dataclass(frozen=True, slots=True)
class TreeFigures:
    """Of some requests. `missing`: requests whose trace could not be had."""

    trees: int
    missing: int
    fan_out: Summary
    width: Summary
    tasks: Summary
    path_calls: Summary
    path_s: Summary
    path_queue_s: Summary
    queue_s_per_hop: Summary
    path_share: float
    """Of the requests' durations, the part that their critical paths explain; the rest is the appliance's own."""
    gpu_s: Summary
    roles: Mapping[str, RoleFigures] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        plain = ("fan_out", "width", "tasks", "path_calls", "path_s", "path_queue_s", "queue_s_per_hop", "gpu_s")
        return {
            "trees": self.trees,
            "missing": self.missing,
            "path_share": round(self.path_share, 4),
            **{name: getattr(self, name).as_document() for name in plain},
            "roles": {role: figures.as_document() for role, figures in self.roles.items()},
        }


def tree_of(trace: Trace) -> Tree:
    """What one trace says."""
    calls = tuple(sorted(trace.calls, key=lambda call: call.started_s))
    return Tree(len(calls), _width(calls), len(trace.tasks), trace.duration_s, critical_path(calls), calls)


def critical_path(calls: Sequence[CallRecord]) -> tuple[CallRecord, ...]:
    """From the call that ended last back to the first: each time the one that ended last before it began.

    What began when nothing had ended yet is a first call. Calls that ran beside the path are not on it.
    """
    path: list[CallRecord] = []
    left = list(calls)
    while left:
        last = max(left, key=lambda call: (call.ended_s, call.started_s))
        path.append(last)
        left = [call for call in left if call is not last and call.ended_s <= last.started_s + _SLACK_S]
    return tuple(reversed(path))


def tree_figures(trees: Sequence[Tree], missing: int = 0) -> TreeFigures:
    """Of several requests."""
    by_role: dict[str, list[CallRecord]] = defaultdict(list)
    for tree in trees:
        for call in tree.calls:
            by_role[call.role.value].append(call)
    whole_s = sum(tree.duration_s for tree in trees)
    return TreeFigures(
        trees=len(trees),
        missing=missing,
        fan_out=_of([tree.fan_out for tree in trees]),
        width=_of([tree.width for tree in trees]),
        tasks=_of([tree.tasks for tree in trees]),
        path_calls=_of([len(tree.path) for tree in trees]),
        path_s=_of([tree.path_s for tree in trees]),
        path_queue_s=_of([sum(call.queue_s for call in tree.path) for tree in trees]),
        queue_s_per_hop=_of([call.queue_s for tree in trees for call in tree.path]),
        path_share=sum(tree.path_s for tree in trees) / whole_s if whole_s else 0.0,
        gpu_s=_of([sum(call.gpu_s for call in tree.calls) for tree in trees]),
        roles={role: _role(calls, len(trees)) for role, calls in sorted(by_role.items())},
    )


def _role(calls: Sequence[CallRecord], requests: int) -> RoleFigures:
    return RoleFigures(
        calls_per_request=len(calls) / requests,
        queue_s=_of([call.queue_s for call in calls]),
        engine_s=_of([call.engine_s for call in calls]),
        first_token_s=_of([call.first_token_s for call in calls if call.first_token_s is not None]),
        prompt_tokens=_of([call.usage.prompt_tokens for call in calls]),
        completion_tokens=_of([call.usage.completion_tokens for call in calls]),
        gpu_s_per_request=sum(call.gpu_s for call in calls) / requests,
    )


def _width(calls: Sequence[CallRecord]) -> int:
    edges = sorted([(call.started_s, 1) for call in calls] + [(call.ended_s, -1) for call in calls])
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def _of(values: Sequence[float]) -> Summary:
    return summary(np.asarray(values, dtype=np.float64))
