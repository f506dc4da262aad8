"""Request trees where no traces are: the calls that a configuration states, with an assumed spread of lengths. Pure.

They stand in until a profile has samples of real requests. A plan is planner → executors beside each other → verifiers
of each → synthesizer; lengths are lognormal around the stated averages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, floor, log, sqrt
from typing import Final

import numpy as np

from appliance.capacity.trees import CallShape, TreeSample
from appliance.domain.demand import RoleDemand
from appliance.domain.model import Role

TREES: Final = 200
"""Requests of a sample."""
VARIATION: Final = 0.5
"""Coefficient of variation of prompt and completion lengths. An assumption; traces say how it is."""
SOURCE: Final = (
    f"assumed: averages of placement.calls, lengths lognormal with a coefficient of variation of {VARIATION:g}, "
    "nothing shared between prompts, no repairs"
)
_SEED: Final = 8


@dataclass(frozen=True, slots=True)
class Part:
    """Calls of one role by one model. `most_tokens` is the longest prompt and answer together."""

    role: Role
    model_id: str
    demand: RoleDemand
    most_tokens: int


def direct_trees(part: Part, count: int = TREES) -> tuple[TreeSample, ...]:
    """Requests that one model answers in one call."""
    draw = np.random.default_rng(_SEED)
    return tuple(TreeSample((_call(part, draw),), streamed_by=0) for _ in range(count))


def planned_trees(parts: Mapping[str, Part], count: int = TREES) -> tuple[TreeSample, ...]:
    """Requests that are planned, by role key (`planner`, `executors.math`, …). There is a planner and an executor."""
    draw = np.random.default_rng(_SEED)
    return tuple(_planned(parts, draw) for _ in range(count))


def _planned(parts: Mapping[str, Part], draw: np.random.Generator) -> TreeSample:
    executors = [part for part in parts.values() if part.role is Role.EXECUTOR]
    steps = [part for part in executors for _ in range(_times(part.demand.calls, draw))]
    steps = steps or [max(executors, key=lambda part: part.demand.calls)]
    calls = [_call(parts["planner"], draw)]
    calls += [_call(part, draw, (0,)) for part in steps]
    calls += _judged(parts.get("verifier"), len(steps), sum(p.demand.calls for p in executors), draw)
    synthesizer = parts.get("synthesizer")
    if synthesizer is not None:
        calls.append(_call(synthesizer, draw, tuple(range(1, len(calls)))))
    return TreeSample(_with_prospects(calls), streamed_by=len(calls) - 1 if synthesizer is not None else None)


def _judged(verifier: Part | None, steps: int, mean_steps: float, draw: np.random.Generator) -> list[CallShape]:
    """Verdicts on each step, so many that their average per request is as stated."""
    if verifier is None:
        return []
    each = verifier.demand.calls / max(mean_steps, 1.0)
    return [_call(verifier, draw, (step,)) for step in range(1, steps + 1) for _ in range(_times(each, draw))]


def _with_prospects(calls: Sequence[CallShape]) -> tuple[CallShape, ...]:
    """Each with the number of calls that follow it one after the other, which decides who waits for whom."""
    after = [0] * len(calls)
    for place in range(len(calls) - 1, -1, -1):
        for other in calls[place].waits_for:
            after[other] = max(after[other], after[place] + 1)
    return tuple(
        CallShape(c.role, c.model_id, c.prompt_tokens, c.completion_tokens, waits_for=c.waits_for, calls_after=behind)
        for c, behind in zip(calls, after, strict=True)
    )


def _call(part: Part, draw: np.random.Generator, waits_for: tuple[int, ...] = ()) -> CallShape:
    most = max(2, part.most_tokens)
    prompt = min(_length(part.demand.prompt_tokens, draw), most - 1)
    completion = min(_length(part.demand.completion_tokens, draw), most - prompt)
    return CallShape(part.role, part.model_id, prompt, completion, waits_for=waits_for)


def _length(mean: float, draw: np.random.Generator) -> int:
    """Lognormal with this mean and VARIATION; at least 1."""
    sigma_squared = log(1 + VARIATION**2)
    return max(1, round(mean * exp(sqrt(sigma_squared) * draw.standard_normal() - sigma_squared / 2)))


def _times(mean: float, draw: np.random.Generator) -> int:
    """A whole number around `mean`: one of the two next to it."""
    return floor(mean) + int(draw.random() < mean - floor(mean))
