from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from appliance.capacity.arrivals import Process, arrivals
from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.outcome import Outcome, spread
from appliance.capacity.setup import Arrival, EnginePlace, Event, Outage, Setup, WakeUp
from appliance.capacity.simulator import simulate
from appliance.capacity.trees import TreeSample
from appliance.dispatch.admission import AdmissionLimits
from appliance.domain.model import Role
from appliance.errors import ConfigError
from tests.capacity.profiles import STEP, call, direct, engine
from tests.capacity.reference import Given, ends_of


def alone(prompt: int, completion: int) -> float:
    """Seconds of one call on an idle engine."""
    return STEP.step_s(prompt, prompt * (prompt + 1) / 2, 0, 0) + STEP.decode_s(completion - 1, 1, prompt + 1)


def setup(*profiles: EngineProfile, device: str | None = None, **changes: Any) -> Setup:
    places = tuple(EnginePlace(f"e{n}", p, device or f"gpu{n}") for n, p in enumerate(profiles))
    return Setup(places, **changes)


def at(tree: TreeSample, *seconds: float) -> list[Arrival]:
    return [Arrival(at_s, "t", tree) for at_s in seconds]


def took(outcome: Outcome) -> list[float | None]:
    return [request.took_s for request in outcome.requests]


def test_direct_requests_end_as_the_reference_says() -> None:
    calls = [Given(n * 0.013, 20 + n, 10 + 3 * n) for n in range(15)]
    profile = engine(max_num_seqs=64)

    outcome = simulate(setup(profile), [Arrival(c.at_s, "t", direct("small", c.prompt, c.completion)) for c in calls])

    ends, _ = ends_of(profile, calls)
    assert [request.ended_s for request in outcome.requests] == pytest.approx(ends, rel=1e-9)


def test_calls_follow_those_that_they_wait_for() -> None:
    planner = call(prompt=10, completion=30, role=Role.PLANNER)
    first = call(prompt=20, completion=5, waits_for=(0,), after_token=10, after_s=0.001)
    second = call(prompt=20, completion=6, waits_for=(0, 1), after_s=0.5)
    outcome = simulate(
        setup(engine(max_num_batched_tokens=1024)), at(TreeSample((planner, first, second), 0.25), 1.0), keep_calls=True
    )

    (request,) = outcome.requests
    asked = {times.shape.completion_tokens: times.asked_s for times in request.calls}
    ended = {times.shape.completion_tokens: times.ended_s for times in request.calls}
    assert asked[5] == pytest.approx(1.0 + alone(10, 10) + 0.001)
    assert asked[6] == pytest.approx(ended[30] + 0.5)
    assert request.took_s == pytest.approx(ended[6] + 0.25 - 1.0)
    assert request.first_s == request.ended_s  # nothing is streamed


def test_the_first_token_of_a_streamed_call_is_the_first_of_the_answer() -> None:
    (request,) = simulate(setup(engine()), at(direct("small", 30, 40), 2.0)).requests

    assert request.first_s == pytest.approx(2.0 + alone(30, 1))
    assert request.took_s == pytest.approx(alone(30, 40))


def test_engines_that_want_more_than_their_device_slow_each_other() -> None:
    two = at(direct("a", 10, 50), 0.0) + at(direct("b", 10, 50), 0.0)
    for share, factor in ((0.5, 1.0), (0.75, 1.5), (1.0, 2.0)):
        profiles = (engine("a", device_share=share), engine("b", device_share=share))

        outcome = simulate(setup(*profiles, device="cpu"), two)

        assert took(outcome) == pytest.approx([factor * alone(10, 50)] * 2)


def test_one_that_ends_lets_the_other_go_on_faster() -> None:
    profiles = (engine("a"), engine("b"))
    outcome = simulate(setup(*profiles, device="cpu"), at(direct("a", 10, 20), 0.0) + at(direct("b", 10, 50), 0.0))

    short, long = alone(10, 20), alone(10, 50)
    assert took(outcome) == pytest.approx([2 * short, long + short])


def test_a_coordinator_on_the_same_device_is_slowed_as_the_engines_are() -> None:
    busy = at(direct("a", 10, 400), 0.0) + at(direct("b", 10, 400), 0.0)
    waits = TreeSample((call("c", 10, 1, after_s=0.1),), last_s=0.2)
    profiles = (engine("a"), engine("b"), engine("c", step=replace(STEP, fixed_s=1e-6), device_share=0.001))
    for coordinator, factor in ((None, 1.0), ("cpu", 2.0)):
        load = [*busy, Arrival(0.5, "t", waits)]

        outcome = simulate(setup(*profiles, device="cpu", coordinator=coordinator), load)

        assert outcome.requests[2].took_s == pytest.approx(factor * 0.3, rel=0.01)
    with pytest.raises(ConfigError, match="the coordinator's device gpu7 is none of the engines'"):
        setup(engine(), coordinator="gpu7")


def test_a_busy_server_slows_the_others_on_its_device() -> None:
    served = replace(engine("a"), server_s=0.5, device_share=0.001)
    for share, slower_s in ((0.0, 0.0), (1.0, 0.5)):
        profiles = (replace(served, server_share=share), engine("b"))
        load = at(direct("b", 10, 200), 0.0) + at(direct("a", 10, 1), 0.01)

        other, _ = took(simulate(setup(*profiles, device="cpu"), load))

        assert other == pytest.approx(alone(10, 200) + slower_s, rel=0.01)


def test_the_coordinator_does_one_thing_after_the_other_and_slows_what_is_beside_it() -> None:
    waits = TreeSample((call("b", 10, 1, after_s=0.1),))
    profiles = (engine("a"), engine("b", device_share=0.001))
    load = [*at(direct("a", 10, 400), 0.0), Arrival(0.5, "t", waits), Arrival(0.5, "t", waits)]
    for share, factor in ((0.0, 1.0), (1.0, 2.0)):
        outcome = simulate(setup(*profiles, device="cpu", coordinator="cpu", coordinator_share=share), load)

        first, second = (request.took_s for request in outcome.requests[1:])
        assert first is not None
        assert second is not None
        assert first == pytest.approx(factor * 0.1, rel=0.2)
        assert second - first == pytest.approx(factor * 0.1, rel=0.2)
        assert outcome.requests[0].took_s == pytest.approx(alone(10, 400) + 0.2 * (factor - 1), rel=0.01)


def test_what_has_no_slot_waits_in_the_line_of_the_dispatcher() -> None:
    outcome = simulate(setup(engine(max_num_seqs=1)), at(direct("small", 10, 20), 0.0, 0.0, 0.0))

    one = alone(10, 20)
    assert took(outcome) == pytest.approx([one, 2 * one, 3 * one])
    assert [request.queue_s for request in outcome.requests] == pytest.approx([0.0, one, 2 * one])


def test_replicas_share_the_calls() -> None:
    outcome = simulate(setup(engine(), engine()), at(direct("small", 10, 20), *[0.0] * 6))

    assert [use.calls for use in outcome.engines] == [3, 3]


def test_a_full_line_turns_requests_away() -> None:
    limits = AdmissionLimits(max_waiting=1, max_wait_s=30)
    outcome = simulate(setup(engine(max_num_seqs=1), limits=limits), at(direct("small", 10, 20), 0.0, 0.0, 0.0))

    assert [bool(request.failed) for request in outcome.requests] == [False, False, True]
    assert outcome.requests[2].failed == "1 calls wait already"


def test_patience_ends() -> None:
    limits = AdmissionLimits(max_waiting=100, max_wait_s=0.1)
    outcome = simulate(setup(engine(max_num_seqs=1), limits=limits), at(direct("small", 10, 200), 0.0, 0.01, 0.02))

    assert [bool(request.failed) for request in outcome.requests] == [False, True, True]
    assert "no room within" in outcome.requests[1].failed


def test_calls_of_an_engine_that_dies_before_their_first_token_go_to_another() -> None:
    events: Sequence[Event] = (Outage(0.001, "e0", 5.0),)
    outcome = simulate(setup(engine(), engine()), at(direct("small", 10, 20), 0.0, 0.0, *[6.0] * 6), events)

    assert outcome.failed() == 0
    assert [use.calls for use in outcome.engines] == [3, 5]  # it takes calls again when it serves


def test_requests_whose_call_was_being_made_fail_with_the_engine() -> None:
    outcome = simulate(setup(engine(start_s=2.0)), at(direct("small", 10, 100), 0.0, 1.0, 3.0), (Outage(0.05, "e0"),))

    assert [request.failed for request in outcome.requests] == ["e0 failed", "no engine of small serves", ""]
    assert outcome.requests[2].took_s == pytest.approx(alone(10, 100))


def test_a_call_waits_for_an_engine_that_sleeps() -> None:
    asleep = Setup((EnginePlace("e0", engine(wake_s=3.0), "gpu0", awake=False),))

    outcome = simulate(asleep, at(direct("small", 10, 20), 1.0), (WakeUp(2.0, "e0"),))

    assert took(outcome) == pytest.approx([4.0 + alone(10, 20)])


def test_the_same_seed_gives_the_same_and_another_one_does_not() -> None:
    trees = {"direct": [direct()], "two": [TreeSample((call(), call(waits_for=(0,))))]}

    def one(seed: int) -> list[float | None]:
        load = arrivals(trees, {"direct": 1.0, "two": 2.0}, 20.0, 10.0, seed, Process.BURSTS)
        return took(simulate(setup(engine()), load))

    assert one(1) == one(1) != one(2)


@pytest.mark.parametrize("process", Process)
def test_requests_come_at_the_rate_in_the_mix(process: Process) -> None:
    trees = {"a": [direct()], "b": [direct("small", 7), direct("small", 8)]}

    come = list(arrivals(trees, {"a": 1.0, "b": 3.0}, 50.0, 400.0, 3, process))

    assert len(come) == pytest.approx(20_000, rel=0.05)
    assert sum(each.traffic == "b" for each in come) / len(come) == pytest.approx(0.75, abs=0.02)
    assert come == sorted(come, key=lambda each: each.at_s)


@pytest.mark.parametrize(
    ("mix", "rate", "says"),
    [
        ({"a": 1.0}, -1.0, "a rate of -1 requests per second"),
        ({"a": 1.0}, float("nan"), "a rate of nan"),
        ({"a": 0.0}, 1.0, "weights of 0 or more"),
        ({"a": float("nan")}, 1.0, "weights of 0 or more"),
        ({"c": 1.0}, 1.0, "no requests of the class c"),
    ],
)
def test_a_load_of_nothing_is_refused(mix: dict[str, float], rate: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        arrivals({"a": [direct()]}, mix, rate, 10.0, 1)


def test_calls_that_no_engine_takes_are_refused() -> None:
    with pytest.raises(ConfigError, match="no engine for large"):
        simulate(setup(engine()), at(direct("large"), 0.0))
    with pytest.raises(ConfigError, match=r"a call of 1000 \+ 100 tokens is longer than the 1024"):
        simulate(setup(engine()), at(direct("small", 1000, 100), 0.0))


def test_a_spread_has_its_percentiles() -> None:
    found = spread([float(n) for n in range(101)])

    assert found is not None
    assert (found.mean, found.p50, found.p95, found.p99) == (50.0, 50.0, 95.0, 99.0)
    assert spread([]) is None
