"""Reconciling: what to do, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.engine import Device, EngineSpec, EngineState
from appliance.supervisor.reconcile import (
    Observed,
    RestartPolicy,
    Start,
    Stop,
    Wait,
    backoff_s,
    failures_after,
    reconcile,
)

POLICY = RestartPolicy(max_parallel_starts=2)


def cpu(name: str) -> EngineSpec:
    return EngineSpec(name, name, PurePath("/m"), Device.CPU, 8100, 512, 4, 512, 1 << 20)


def gpu(name: str, *gpu_ids: str) -> EngineSpec:
    return replace(cpu(name), device=Device.CUDA, gpu_ids=gpu_ids)


def seen(spec: EngineSpec, state: EngineState, since_s: float = 0, **fields: object) -> dict[str, Observed]:
    return {spec.engine_id: replace(Observed(spec, state, since_s), **fields)}  # type: ignore[arg-type]


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


def test_backoff_doubles_to_its_limit() -> None:
    assert [backoff_s(n, POLICY) for n in (1, 2, 3, 6, 7, 8, 10_000)] == [1, 2, 4, 32, 60, 60, 60]


def test_failures_are_forgotten_after_a_stable_time() -> None:
    [ready] = seen(cpu("a"), EngineState.READY, since_s=0, failures=5).values()
    assert failures_after(ready, 59, POLICY) == 6
    assert failures_after(ready, 60, POLICY) == 1
    assert failures_after(replace(ready, state=EngineState.STARTING), 600, POLICY) == 6


SPECS = (cpu("a"), cpu("b"), cpu("c"), gpu("d", "0"), gpu("e", "0"), gpu("f", "0", "1"))
FOUND = st.tuples(st.sampled_from(list(EngineState)), st.integers(0, 200), st.integers(0, 9), st.booleans())


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
    assert all(observed[a.engine_id].state is EngineState.READY for a in actions if isinstance(a, Stop))
