"""A tree made ready to be carried out many times: who follows whom, and which tokens somebody waits for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.capacity.trees import CallShape, TreeSample


@dataclass(frozen=True, slots=True)
class TreePlan:
    """By the place of each call: how many conditions it has, which calls its end sets going, and its stops.

    `marks[place]` are (tokens, followers) of calls that begin while it is being made.
    """

    calls: tuple[CallShape, ...]
    conditions: tuple[int, ...]
    followers: tuple[tuple[int, ...], ...]
    marks: tuple[tuple[tuple[int, int], ...], ...]
    stops: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]
    streamed_by: int | None
    last_s: float


def plan_of(tree: TreeSample) -> TreePlan:
    """A tree's plan."""
    calls = tree.calls
    followers: list[list[int]] = [[] for _ in calls]
    marks: list[list[tuple[int, int]]] = [[] for _ in calls]
    for place, call in enumerate(calls):
        whole = call.waits_for if call.after_token is None else call.waits_for[:-1]
        for other in whole:
            followers[other].append(place)
        if call.after_token is not None:
            other = call.waits_for[-1]
            marks[other].append((min(max(1, call.after_token), _made(calls[other])), place))
    stops = [{_made(call), *(tokens for tokens, _ in marks[place])} for place, call in enumerate(calls)]
    if tree.streamed_by is not None:
        stops[tree.streamed_by].add(1)
    return TreePlan(
        calls,
        tuple(len(call.waits_for) for call in calls),
        tuple(tuple(each) for each in followers),
        tuple(tuple(each) for each in marks),
        tuple(tuple(sorted(each)) for each in stops),
        tuple(place for place, call in enumerate(calls) if not call.waits_for),
        tree.streamed_by,
        tree.last_s,
    )


def _made(call: CallShape) -> int:
    """An engine makes one token at least of whatever it is asked."""
    return max(1, call.completion_tokens)
