"""Reconciling: what to do, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.engine import Device, EngineSpec, EngineState
from appliance.supervisor.actions import Remove, Rest, Sleep, Start, Stop, Wait, Wake
from appliance.supervisor.reconcile import Leaving, Observed, RestartPolicy, backoff_s, failures_after, reconcile
from appliance.supervisor.turns import Turn

POLICY = RestartPolicy(max_parallel_starts=2)


def cpu(name: str) -> EngineSpec:
    return EngineSpec(name, name, PurePath("/m"), Device.CPU, 8100, 512, 4, 512, 1 << 20)


def gpu(name: str, *gpu_ids: str) -> EngineSpec:
    return replace(cpu(name), device=Device.CUDA, gpu_ids=gpu_ids)


def seen(spec: EngineSpec, state: EngineState, since_s: float = 0, **fields: object) -> dict[str, Observed]:
    return {spec.engine_id: replace(Observed(spec, state, since_s), **fields)}  # type: ignore[arg-type]  # the fields are named by each test


def test_absent_engines_start_up_to_the_limit() -> None:
    a, b, c = cpu("a"), cpu("b"), cpu("c")
    assert reconcile((a, b, c), {}, 0, POLICY) == (
        Start(a, "it is wanted"),
        Start(b, "it is wanted"),
        Wait("c", None, "2 engines are starting"),
    )


def test_a_gpu_takes_one_starting_engine_at_a_time() -> None:
    a, b, c = gpu("a", "0", "1"), gpu("b", "1"), gpu("c", "2")
    actions = reconcile((a, b, c), {}, 0, POLICY)
    assert actions == (
        Start(a, "it is wanted"),
        Wait("b", None, "a is starting on the same GPU"),
        Start(c, "it is wanted"),
    )
    warming = seen(a, EngineState.WARMING)
    assert reconcile((a, b), warming, 0, POLICY) == (Wait("b", None, "a is starting on the same GPU"),)
    assert reconcile((a, b), seen(a, EngineState.READY), 0, POLICY) == (Start(b, "it is wanted"),)


def test_a_failed_engine_waits_for_its_backoff() -> None:
    a = cpu("a")
    failed = seen(a, EngineState.FAILED, since_s=100, failures=3, detail="exit code 0")
    assert reconcile((a,), failed, 103.9, POLICY) == (Wait("a", 104, "it failed 3 times in a row: exit code 0"),)
    assert reconcile((a,), failed, 104, POLICY) == (Start(a, "again after a failure: exit code 0"),)


def test_an_engine_whose_process_is_being_ended_is_left_alone() -> None:
    a = cpu("a")
    assert reconcile((a,), seen(a, EngineState.FAILED, failures=1, settling=True), 99, POLICY) == ()


def test_unwanted_and_changed_engines_stop() -> None:
    a = cpu("a")
    ready = seen(a, EngineState.READY)
    assert reconcile((), ready, 0, POLICY) == (Stop("a", "it is not wanted any more"),)
    assert reconcile((replace(a, port=1),), ready, 0, POLICY) == (Stop("a", "its specification has changed"),)
    assert reconcile((a,), ready, 0, POLICY) == ()


@pytest.mark.parametrize("state", [EngineState.STARTING, EngineState.WARMING])
def test_a_start_that_is_not_wanted_any_more_is_given_up(state: EngineState) -> None:
    a = gpu("a", "0")
    coming = seen(a, state, settling=True)
    assert reconcile((), coming, 0, POLICY) == (Stop("a", "it is not wanted any more"),)
    assert reconcile((replace(a, port=1),), coming, 0, POLICY) == (Stop("a", "its specification has changed"),)
    assert reconcile((a,), coming, 0, POLICY) == ()


@pytest.mark.parametrize("state", [EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED])
def test_an_unwanted_engine_without_a_process_is_forgotten(state: EngineState) -> None:
    assert reconcile((), seen(cpu("a"), state), 0, POLICY) == (Remove("a"),)
    assert reconcile((), seen(cpu("a"), state, settling=True), 0, POLICY) == ()
    assert reconcile((), seen(cpu("a"), EngineState.DRAINING, settling=True), 0, POLICY) == ()


def test_an_unwanted_engine_serves_until_its_model_is_served_elsewhere() -> None:
    old, new, other = gpu("m-0", "0"), replace(gpu("m-1", "1"), model_id="m-0"), gpu("n", "2")
    ready = seen(old, EngineState.READY)
    waits = Wait("m-0", None, "it serves until m-1 is ready")
    assert reconcile((new, other), ready, 0, POLICY) == (
        waits,
        Start(new, "it is wanted"),
        Start(other, "it is wanted"),
    )
    warming = ready | seen(new, EngineState.WARMING, settling=True) | seen(other, EngineState.READY)
    assert reconcile((new, other), warming, 0, POLICY) == (waits,)
    both = ready | seen(new, EngineState.READY) | seen(other, EngineState.READY)
    assert reconcile((new, other), both, 0, POLICY) == (Stop("m-0", "it is not wanted any more"),)


def test_an_unwanted_engine_leaves_at_once_where_another_one_needs_its_gpu() -> None:
    old, new, guest = gpu("m-0", "0"), replace(gpu("m-1", "1"), model_id="m-0"), gpu("n", "0")
    assert reconcile((new, guest), seen(old, EngineState.READY), 0, POLICY) == (
        Stop("m-0", "it is not wanted any more"),
        Start(new, "it is wanted"),
        Wait("n", None, "m-0 has to leave the same GPU"),
    )
    turning = replace(old, turn_group="g", sleep_level=1)
    assert reconcile((new,), seen(turning, EngineState.READY), 0, POLICY)[0] == Stop("m-0", "it is not wanted any more")


@pytest.mark.parametrize(
    ("state", "settling", "leaves"),
    [
        (EngineState.DRAINING, True, True),
        (EngineState.ASLEEP, False, True),
        (EngineState.STOPPED, True, True),
        (EngineState.FAILED, True, True),
        (EngineState.STOPPED, False, False),
        (EngineState.FAILED, False, False),
    ],
)
def test_a_start_waits_until_those_that_leave_its_gpu_are_gone(
    state: EngineState, settling: bool, leaves: bool
) -> None:
    old, new = gpu("a", "0", "1"), gpu("b", "1")
    last = reconcile((new,), seen(old, state, settling=settling), 0, POLICY)[-1]
    assert last == (Wait("b", None, "a has to leave the same GPU") if leaves else Start(new, "it is wanted"))
    resized = replace(old, kv_cache_memory_bytes=1)
    last = reconcile((resized, new), seen(old, EngineState.READY), 0, POLICY)[-1]
    assert last == Wait("b", None, "a has to leave the same GPU")


def test_a_failed_engine_that_is_wanted_otherwise_does_not_wait_for_its_backoff() -> None:
    a = gpu("a", "0")
    failed = seen(a, EngineState.FAILED, since_s=100, failures=9)
    moved = replace(a, gpu_ids=("1",))
    assert reconcile((moved,), failed, 100, POLICY) == (Start(moved, "it is wanted"),)


def test_another_name_of_its_group_does_not_touch_an_engine() -> None:
    a = turner("a")
    assert reconcile((replace(a, turn_group="h"),), seen(a, EngineState.READY), 0, POLICY) == ()


def test_backoff_doubles_to_its_limit() -> None:
    assert [backoff_s(n, POLICY) for n in (1, 2, 3, 6, 7, 8, 10_000)] == [1, 2, 4, 32, 60, 60, 60]


def test_failures_are_forgotten_after_a_stable_time() -> None:
    [ready] = seen(cpu("a"), EngineState.READY, since_s=0, failures=5).values()
    assert failures_after(ready, 59, POLICY) == 6
    assert failures_after(ready, 60, POLICY) == 1
    assert failures_after(replace(ready, state=EngineState.STARTING), 600, POLICY) == 6


SPECS = (cpu("a"), cpu("b"), cpu("c"), gpu("d", "0"), gpu("e", "0"), gpu("f", "0", "1"))
FOUND = st.tuples(st.sampled_from(list(EngineState)), st.integers(0, 200), st.integers(0, 9), st.booleans())


@settings(deadline=None)
@given(st.lists(FOUND, min_size=6, max_size=6), st.sets(st.sampled_from(SPECS)))
def test_invariants(found: list[tuple[EngineState, int, int, bool]], wanted: set[EngineSpec]) -> None:
    observed = {
        spec.engine_id: Observed(spec, state, float(since), failures, settling)
        for spec, (state, since, failures, settling) in zip(SPECS, found, strict=True)
    }
    actions = reconcile(sorted(wanted, key=lambda s: s.engine_id), observed, 100.0, POLICY)
    coming = [o.spec for o in observed.values() if o.state in {EngineState.STARTING, EngineState.WARMING}]
    starts = [action.spec for action in actions if isinstance(action, Start)]
    for spec in starts:
        assert spec in wanted
        assert observed[spec.engine_id].state in {EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED}
        assert not observed[spec.engine_id].settling
    for gpu_id in ("0", "1"):
        started = [s for s in starts if gpu_id in s.gpu_ids]
        assert len(started) <= (0 if any(gpu_id in s.gpu_ids for s in coming) else 1)
    cpu_starts = [s for s in starts if s.device is Device.CPU]
    before = [s for s in coming if s.device is Device.CPU]
    assert not cpu_starts or len(cpu_starts) + len(before) <= POLICY.max_parallel_starts
    for action in actions:
        if isinstance(action, Stop | Remove):
            left = observed[action.engine_id]
            assert left.spec not in wanted
        if isinstance(action, Stop):
            coming_up = left.state in {EngineState.STARTING, EngineState.WARMING}
            assert coming_up or (left.state in {EngineState.READY, EngineState.ASLEEP} and not left.settling)
        elif isinstance(action, Remove):
            assert left.state in {EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED}
            assert not left.settling
    leaving = [o for o in observed.values() if o.spec not in wanted and (o.settling or holds_memory(o.state))]
    assert not any(set(o.spec.gpu_ids) & set(s.gpu_ids) for o in leaving for s in starts)


def holds_memory(state: EngineState) -> bool:
    return state not in {EngineState.ABSENT, EngineState.STOPPED, EngineState.FAILED}


def turner(name: str, sleep_level: int = 1) -> EngineSpec:
    return replace(gpu(name, "0"), turn_group="g", sleep_level=sleep_level)


def turn_of(name: str) -> dict[str, Turn]:
    return {"g": Turn(name, 0, "calls wait for it")}


def test_a_turn_ends_with_sleep_and_the_next_begins_when_all_are_off() -> None:
    a, b = turner("a"), turner("b")
    both = seen(a, EngineState.READY) | seen(b, EngineState.ASLEEP)
    assert reconcile((a, b), both, 0, POLICY, turn_of("b")) == (
        Sleep("a", "it is the turn of b: calls wait for it"),
        Wait("b", None, "a of its group is not asleep yet"),
    )
    draining = seen(a, EngineState.DRAINING, settling=True) | seen(b, EngineState.ASLEEP)
    assert reconcile((a, b), draining, 0, POLICY, turn_of("b")) == (
        Wait("b", None, "a of its group is not asleep yet"),
    )
    off = seen(a, EngineState.ASLEEP) | seen(b, EngineState.ASLEEP)
    assert reconcile((a, b), off, 0, POLICY, turn_of("b")) == (Wake(b, "calls wait for it"),)
    failed = seen(a, EngineState.FAILED, settling=True) | seen(b, EngineState.ASLEEP)
    assert reconcile((a, b), failed, 0, POLICY, turn_of("b")) == (Wait("b", None, "a of its group is not asleep yet"),)


def test_what_has_no_process_rests_until_its_turn() -> None:
    a, b = turner("a", 0), turner("b", 0)
    assert reconcile((a, b), {}, 0, POLICY, turn_of("a")) == (
        Start(a, "it is wanted"),
        Rest(b, "its turn has not come"),
    )
    failed = seen(b, EngineState.FAILED, failures=1, detail="exit code 1")
    assert isinstance(reconcile((b,), failed, 0.5, POLICY, turn_of("a"))[0], Wait)
    assert reconcile((b,), failed, 1, POLICY, turn_of("a")) == (Rest(b, "again after a failure: exit code 1"),)


def test_what_sleeps_in_its_process_waits_for_its_first_start() -> None:
    a, b = turner("a"), turner("b")
    assert reconcile((a, b), {}, 0, POLICY, turn_of("b")) == (
        Wait("a", None, "another engine of its group starts first"),
        Start(b, "it is wanted"),
    )


def test_waking_and_starting_share_a_gpu_one_after_the_other() -> None:
    a, alone = turner("a"), gpu("z", "0")
    asleep = seen(a, EngineState.ASLEEP)
    assert reconcile((a, alone), asleep, 0, POLICY, turn_of("a")) == (
        Wake(a, "calls wait for it"),
        Wait("z", None, "a is starting on the same GPU"),
    )


def test_a_sleeping_engine_whose_specification_changed_stops() -> None:
    a = turner("a")
    assert reconcile((replace(a, port=1),), seen(a, EngineState.ASLEEP), 0, POLICY, turn_of("a")) == (
        Stop("a", "its specification has changed"),
    )
    assert reconcile((), seen(a, EngineState.ASLEEP), 0, POLICY) == (Stop("a", "it is not wanted any more"),)


def test_a_start_waits_for_the_memory_of_an_ended_engine_but_not_for_ever() -> None:
    b, elsewhere = gpu("b", "0", "1"), gpu("c", "2")
    left = (Leaving("a", "1", 3 << 30, since_s=100),)
    assert reconcile((b, elsewhere), {}, 110, POLICY, leaving=left) == (
        Wait("b", 110.25, "3.0 GiB of a have not left GPU 1"),
        Start(elsewhere, "it is wanted"),
    )
    assert reconcile((b,), {}, 129.9, POLICY, leaving=left) == (Wait("b", 130, "3.0 GiB of a have not left GPU 1"),)
    assert reconcile((b,), {}, 130, POLICY, leaving=left) == (
        Start(b, "it is wanted; after 30 s 3.0 GiB of a have not left GPU 1"),
    )


TURNERS = (turner("a"), turner("b", 0), turner("c", 2))


@settings(deadline=None)
@given(st.lists(FOUND, min_size=3, max_size=3), st.sampled_from(TURNERS))
def test_no_action_makes_two_of_a_group_awake(
    found: list[tuple[EngineState, int, int, bool]], holder: EngineSpec
) -> None:
    observed = {
        spec.engine_id: Observed(spec, state, float(since), failures, settling)
        for spec, (state, since, failures, settling) in zip(TURNERS, found, strict=True)
    }
    for action in reconcile(TURNERS, observed, 1000.0, POLICY, turn_of(holder.engine_id)):
        match action:
            case Start(spec, _) | Wake(spec, _):
                assert spec == holder
                others = [o for o in observed.values() if o.spec != spec]
                assert not any(o.settling for o in others)
                on = {EngineState.STARTING, EngineState.WARMING, EngineState.READY, EngineState.DRAINING}
                assert not on & {o.state for o in others}
            case Sleep(engine_id, _):
                assert engine_id != holder.engine_id
                assert observed[engine_id].state is EngineState.READY
            case Rest(spec, _):
                assert spec != holder
