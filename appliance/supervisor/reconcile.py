"""Wanted engines and observed ones → what to do now, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from appliance.domain.engine import Device, EngineSpec, EngineState

_COMING_UP = frozenset({EngineState.STARTING, EngineState.WARMING})
_DOWN = frozenset({EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED})


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How failures are answered. Times in seconds."""

    max_parallel_starts: int = 8
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    stable_after_s: float = 60.0
    """An engine that was ready this long starts again from `first_backoff_s`."""


@dataclass(frozen=True, slots=True)
class Observed:
    """An engine as it is. `since_s` is when `state` began; `failures` counts those in a row.

    `settling`: its process is being started or ended at this moment, so it is left alone.
    """

    spec: EngineSpec
    state: EngineState
    since_s: float
    failures: int = 0
    settling: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Start an engine."""

    spec: EngineSpec
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain an engine and end it."""

    engine_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done for an engine before `until_s` (None: before another engine has moved)."""

    engine_id: str
    until_s: float | None
    reason: str


Action = Start | Stop | Wait


def reconcile(
    wanted: Iterable[EngineSpec], observed: Mapping[str, Observed], now_s: float, policy: RestartPolicy
) -> tuple[Action, ...]:
    """The actions for this moment.

    1. An engine that is not wanted (any more, or not as it runs) is stopped.
    2. A failed engine waits for its back-off; it is never given up.
    3. A GPU takes one starting engine at a time, because vLLM measures the whole device while it starts; the CPU
       takes `max_parallel_starts`.
    """
    wanted = tuple(wanted)
    ids = {spec.engine_id for spec in wanted}
    actions: list[Action] = [
        Stop(o.spec.engine_id, "it is not wanted any more")
        for o in observed.values()
        if o.spec.engine_id not in ids and o.state is EngineState.READY
    ]
    starting = [o.spec for o in observed.values() if o.state in _COMING_UP]
    for spec in wanted:
        action = _action(spec, observed.get(spec.engine_id), starting, now_s, policy)
        if isinstance(action, Start):
            starting.append(spec)
        if action is not None:
            actions.append(action)
    return tuple(actions)


def backoff_s(failures: int, policy: RestartPolicy) -> float:
    """Seconds between a failure and the next start; doubles with each failure in a row."""
    return min(policy.longest_backoff_s, policy.first_backoff_s * 2.0 ** min(failures - 1, 30))


def failures_after(observed: Observed, now_s: float, policy: RestartPolicy) -> int:
    """Failures in a row, this one included, when `observed` fails at `now_s`."""
    stable = observed.state is EngineState.READY and now_s - observed.since_s >= policy.stable_after_s
    return 1 if stable else observed.failures + 1


def _action(
    spec: EngineSpec, found: Observed | None, starting: Collection[EngineSpec], now_s: float, policy: RestartPolicy
) -> Action | None:
    if found is not None and found.settling:
        return None
    if found is not None and found.state not in _DOWN:
        changed = found.spec != spec and found.state is EngineState.READY
        return Stop(spec.engine_id, "its specification has changed") if changed else None
    reason = "it is wanted"
    if found is not None and found.state is EngineState.FAILED:
        until_s = found.since_s + backoff_s(found.failures, policy)
        if now_s < until_s:
            return Wait(spec.engine_id, until_s, f"it failed {found.failures} times in a row: {found.detail}")
        reason = f"again after a failure: {found.detail}"
    busy = _in_the_way(spec, starting, policy)
    return Wait(spec.engine_id, None, busy) if busy else Start(spec, reason)


def _in_the_way(spec: EngineSpec, starting: Collection[EngineSpec], policy: RestartPolicy) -> str:
    if spec.device is Device.CPU:
        count = sum(1 for other in starting if other.device is Device.CPU)
        return f"{count} engines are starting" if count >= policy.max_parallel_starts else ""
    for other in starting:
        if other.device is spec.device and set(other.gpu_ids) & set(spec.gpu_ids):
            return f"{other.engine_id} is starting on the same GPU"
    return ""
