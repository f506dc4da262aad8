"""Which few loads tell most about an engine: a D-optimal choice among many. Pure.

A load is a number of calls at once, all with the same prompt and answer lengths. Its time depends on what it makes the
engine do (steps, prefilled tokens, tokens that decode, tokens of the KV cache that are read, pairs of tokens in
attention), and the costs of these are what is looked for. The choice takes, one after the other, the load that adds
most to the determinant of the information matrix, so it spreads over what differs, not over a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from appliance.capacity.engine_profile import EngineProfile

_PROMPTS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_ANSWERS = (1, 4, 16, 48, 96, 192)
_FIRST_GUESS = 1e-3
"""Of information that is there before: no first choice is singular."""


@dataclass(frozen=True, slots=True)
class Load:
    """So many calls at once."""

    prompt_tokens: int
    completion_tokens: int
    at_once: int


def loads(engine: EngineProfile, count: int) -> tuple[Load, ...]:
    """The most telling `count` loads that fit the engine, the cheapest first."""
    possible = _possible(engine)
    rows = np.array([_does(load) for load in possible])
    rows = rows / rows.max(axis=0)
    rows = rows / rows.sum(axis=1, keepdims=True)  # errors are relative to the time that it takes
    information = np.eye(rows.shape[1]) * _FIRST_GUESS
    chosen: list[Load] = []
    for _ in range(min(count, len(possible))):
        gains = np.einsum("ij,jk,ik->i", rows, np.linalg.inv(information), rows)
        best = int(np.argmax(gains))
        chosen.append(possible[best])
        information += np.outer(rows[best], rows[best])
        rows[best] = 0.0  # each once: what lies between the extremes shows whether costs are linear
    return tuple(sorted(chosen, key=lambda load: (load.at_once * load.completion_tokens, load.prompt_tokens)))


def _possible(engine: EngineProfile) -> Sequence[Load]:
    most, at_once = engine.max_num_seqs, [1]
    while at_once[-1] * 2 <= most:
        at_once.append(at_once[-1] * 2)
    found = [
        Load(prompt, answer, many)
        for prompt in _PROMPTS
        for answer in _ANSWERS
        for many in at_once
        if prompt + answer <= engine.max_model_len * 0.9 and many * (prompt + answer) <= engine.kv_tokens * 0.9
    ]
    return found or [Load(1, 1, 1)]


def _does(load: Load) -> tuple[float, ...]:
    """What it makes the engine do: a call, steps, and the parts of their costs."""
    prompt, answer, many = load.prompt_tokens, load.completion_tokens, load.at_once
    decoded = many * (answer - 1)
    return (1.0, answer, many * prompt, decoded, decoded * (prompt + answer / 2), many * prompt * prompt / 2)
