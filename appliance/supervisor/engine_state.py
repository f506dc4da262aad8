"""The life of an engine as a table."""

from __future__ import annotations

from appliance.domain.engine import EngineState as S

TRANSITIONS: dict[S, frozenset[S]] = {
    S.ABSENT: frozenset({S.STARTING, S.ASLEEP, S.STOPPED}),
    S.STARTING: frozenset({S.WARMING, S.FAILED, S.STOPPED}),
    S.WARMING: frozenset({S.READY, S.FAILED, S.STOPPED}),
    S.READY: frozenset({S.DRAINING, S.FAILED}),
    S.DRAINING: frozenset({S.ASLEEP, S.STOPPED, S.FAILED}),
    S.STOPPED: frozenset({S.STARTING, S.ASLEEP}),
    S.FAILED: frozenset({S.STARTING, S.ASLEEP, S.STOPPED}),
    S.ASLEEP: frozenset({S.WARMING, S.DRAINING, S.FAILED}),
}
"""State → states that may follow it. Asleep is an engine whose turn has not come, with or without a process; waking
up, by vLLM's call or by a start, is warming."""


class IllegalTransition(RuntimeError):
    """A mistake in the supervisor."""


def advance(current: S, target: S) -> S:
    """`target`, if it may follow `current`."""
    if target not in TRANSITIONS[current]:
        raise IllegalTransition(f"an engine can't go from {current} to {target}")
    return target
