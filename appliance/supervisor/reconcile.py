"""Wanted engines and observed ones → what to do now, with reasons. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from appliance.domain.engine import Device, EngineSpec, EngineState
from appliance.supervisor.actions import Action, Remove, Rest, Sleep, Start, Stop, Wait, Wake
from appliance.supervisor.turns import Turn

GIB = 2**30
_COMING_UP = frozenset({EngineState.STARTING, EngineState.WARMING})
_DOWN = frozenset({EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED})
_OFF = _DOWN | {EngineState.ASLEEP}
_STANDING = frozenset({EngineState.READY, EngineState.ASLEEP})


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How failures are answered. Times in seconds."""

    max_parallel_starts: int = 8
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    stable_after_s: float = 60.0
    """An engine that was ready this long starts again from `first_backoff_s`."""
    memory_timeout_s: float = 30.0
    """A start waits this long for the memory of an ended engine to leave its GPU, then it is tried all the same."""
    memory_look_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Observed:
    """An engine as it is. `since_s` is when `state` began; `failures` counts those in a row.

    `settling`: its process is being started, woken, sent to sleep or ended at this moment, so it is left alone.
    """

    spec: EngineSpec
    state: EngineState
    since_s: float
    failures: int = 0
    settling: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Of the memory of an engine that ended at `since_s`, `missing_bytes` are still taken on a GPU."""

    engine_id: str
    gpu_id: str
    missing_bytes: int
    since_s: float


@dataclass(frozen=True, slots=True)
class _Moment:
    """All that a decision looks at. `wanted` is by engine id; `starting` grows with what is decided."""

    wanted: Mapping[str, EngineSpec]
    observed: Mapping[str, Observed]
    now_s: float
    policy: RestartPolicy
    turns: Mapping[str, Turn]
    leaving: Collection[Leaving]
    starting: list[EngineSpec]


def reconcile(
    wanted: Iterable[EngineSpec],
    observed: Mapping[str, Observed],
    now_s: float,
    policy: RestartPolicy,
    turns: Mapping[str, Turn] | None = None,
    leaving: Collection[Leaving] = (),
) -> tuple[Action, ...]:
    """The actions for this moment. `turns` says by group whose turn it is.

    1. An engine that is not wanted is stopped, and forgotten when it has no process. It serves on until its model is
       served by those that are wanted, unless one of these needs a GPU of it.
    2. An engine that is wanted otherwise than it runs is stopped, and started again.
    3. A failed engine waits for its back-off; it is never given up.
    4. Of a group one engine is awake: when it is another's turn it is sent to sleep, and the other is woken only when
       all of the group are off.
    5. A GPU takes one engine at a time that starts or wakes up, because vLLM measures the whole device while it
       starts; the CPU takes `max_parallel_starts`.
    6. On a GPU it waits until engines that have to leave it are gone, and then until their memory has left, for
       `memory_timeout_s` at most.
    """
    by_id = {spec.engine_id: spec for spec in wanted}
    starting = [o.spec for o in observed.values() if o.state in _COMING_UP]
    moment = _Moment(by_id, observed, now_s, policy, turns or {}, leaving, starting)
    leavers = (_leave(found, moment) for found in observed.values() if found.spec.engine_id not in by_id)
    actions = [action for action in leavers if action is not None]
    for spec in by_id.values():
        action = _action(spec, moment)
        if isinstance(action, Start | Wake):
            starting.append(spec)
        if action is not None:
            actions.append(action)
    return tuple(actions)


def same_process(running: EngineSpec, wanted: EngineSpec) -> bool:
    """Whether the process of one is that of the other: a group's name is nothing that vLLM knows of."""
    return replace(running, turn_group=wanted.turn_group) == wanted


def backoff_s(failures: int, policy: RestartPolicy) -> float:
    """Seconds between a failure and the next start; doubles with each failure in a row."""
    return min(policy.longest_backoff_s, policy.first_backoff_s * 2.0 ** min(failures - 1, 30))


def failures_after(observed: Observed, now_s: float, policy: RestartPolicy) -> int:
    """Failures in a row, this one included, when `observed` fails at `now_s`."""
    stable = observed.state is EngineState.READY and now_s - observed.since_s >= policy.stable_after_s
    return 1 if stable else observed.failures + 1


def _leave(found: Observed, moment: _Moment) -> Action | None:
    """What becomes of an engine that is not wanted."""
    engine_id, reason = found.spec.engine_id, "it is not wanted any more"
    if found.state in _COMING_UP:
        return Stop(engine_id, reason)
    if found.settling or found.state not in _STANDING | _DOWN:
        return None
    if found.state in _DOWN:
        return Remove(engine_id)
    heirs = _heirs(found.spec, moment) if found.state is EngineState.READY and not found.spec.turn_group else []
    return Wait(engine_id, None, f"it serves until {', '.join(heirs)} is ready") if heirs else Stop(engine_id, reason)


def _heirs(spec: EngineSpec, moment: _Moment) -> list[str]:
    """Engines that are to serve the model in its place and do not yet; none where one of any model needs its GPUs."""
    coming = [
        wanted
        for engine_id, wanted in moment.wanted.items()
        if engine_id not in moment.observed or moment.observed[engine_id].state not in _STANDING
    ]
    if any(set(wanted.gpu_ids) & set(spec.gpu_ids) for wanted in coming):
        return []
    return [wanted.engine_id for wanted in coming if wanted.model_id == spec.model_id]


def _action(spec: EngineSpec, moment: _Moment) -> Action | None:
    found = moment.observed.get(spec.engine_id) or Observed(spec, EngineState.ABSENT, moment.now_s)
    turn = moment.turns.get(spec.turn_group) if spec.turn_group else None
    resting = turn is not None and turn.engine_id != spec.engine_id
    changed = not same_process(found.spec, spec)
    if changed and (found.state in _COMING_UP or (found.state in _STANDING and not found.settling)):
        return Stop(spec.engine_id, "its specification has changed")
    if found.settling:
        return None
    if found.state is EngineState.READY and turn is not None and resting:
        return Sleep(spec.engine_id, f"it is the turn of {turn.engine_id}: {turn.reason}")
    if found.state is EngineState.ASLEEP and not resting:
        return _when_free(Wake(spec, turn.reason if turn is not None else "it takes no turns any more"), moment)
    if found.state not in _DOWN:
        return None
    reason = "it is wanted"
    if found.state is EngineState.FAILED and not changed:
        until_s = found.since_s + backoff_s(found.failures, moment.policy)
        if moment.now_s < until_s:
            return Wait(spec.engine_id, until_s, f"it failed {found.failures} times in a row: {found.detail}")
        reason = f"again after a failure: {found.detail}"
    if not resting:
        return _when_free(Start(spec, reason), moment)
    if found.state is EngineState.ABSENT and spec.sleep_level > 0:
        return Wait(spec.engine_id, None, "another engine of its group starts first")
    return Rest(spec, "its turn has not come" if found.state is not EngineState.FAILED else reason)


def _when_free(action: Start | Wake, moment: _Moment) -> Start | Wake | Wait:
    """`action`, unless something is in its way."""
    spec = action.spec
    busy = (
        _group_awake(spec, moment.observed)
        or _starting_there(spec, moment.starting, moment.policy)
        or _leaving_there(spec, moment)
    )
    if busy:
        return Wait(spec.engine_id, None, busy)
    left = [memory for memory in moment.leaving if memory.gpu_id in spec.gpu_ids]
    if not left:
        return action
    most = max(left, key=lambda memory: memory.missing_bytes)
    until_s = max(memory.since_s for memory in left) + moment.policy.memory_timeout_s
    told = f"{most.missing_bytes / GIB:.1f} GiB of {most.engine_id} have not left GPU {most.gpu_id}"
    if moment.now_s < until_s:
        return Wait(spec.engine_id, min(until_s, moment.now_s + moment.policy.memory_look_s), told)
    return type(action)(spec, f"{action.reason}; after {moment.policy.memory_timeout_s:g} s {told}")


def _group_awake(spec: EngineSpec, observed: Mapping[str, Observed]) -> str:
    for other in observed.values():
        if not spec.turn_group or other.spec.turn_group != spec.turn_group or other.spec.engine_id == spec.engine_id:
            continue
        if other.state not in _OFF or other.settling:
            return f"{other.spec.engine_id} of its group is not asleep yet"
    return ""


def _starting_there(spec: EngineSpec, starting: Collection[EngineSpec], policy: RestartPolicy) -> str:
    if spec.device is Device.CPU:
        count = sum(1 for other in starting if other.device is Device.CPU)
        return f"{count} engines are starting" if count >= policy.max_parallel_starts else ""
    for other in starting:
        if other.device is spec.device and set(other.gpu_ids) & set(spec.gpu_ids):
            return f"{other.engine_id} is starting on the same GPU"
    return ""


def _leaving_there(spec: EngineSpec, moment: _Moment) -> str:
    """An engine that has to leave one of the GPUs, and still holds memory of it."""
    for engine_id, other in moment.observed.items():
        if engine_id == spec.engine_id or not set(other.spec.gpu_ids) & set(spec.gpu_ids):
            continue
        wanted = moment.wanted.get(engine_id)
        stays = wanted is not None and same_process(other.spec, wanted)
        if not stays and (other.settling or other.state not in _DOWN):
            return f"{engine_id} has to leave the same GPU"
    return ""
