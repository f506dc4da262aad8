"""What a tenant may use: never more than its share by racing, and nothing held for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.account import TenantAccount
from appliance.access.limits import Limits
from appliance.domain.policy import DataPolicy, TenantLimits, TenantPolicy
from appliance.domain.request import CallContext, EngineCall, Usage
from appliance.domain.tenant import Tenant
from appliance.errors import ApplianceError, Overloaded
from tests.coordinator.house import House, asks, events_of, house, sound
from tests.fakes.scripted_client import Reply
from tests.fakes.virtual_time import run


def account(**limits: float) -> TenantAccount:
    return TenantAccount("acme", TenantLimits(**limits))  # type: ignore[arg-type]  # floats stand for both kinds


def test_tokens_come_free_when_they_leave_the_window() -> None:
    acme = account(tokens_per_min=100)
    first, second = acme.request(), acme.request()
    first.enter(0.0)
    held = first.reserve(80, 0.0, 0.0)
    with pytest.raises(Overloaded, match="tokens_per_min: 100") as caught:
        second.reserve(30, 0.0, 1.0)
    assert caught.value.retry_after_s == 1.0  # at once, if what is held is given back unused
    first.settle(held, 75, 0.0, 2.0)
    with pytest.raises(Overloaded) as caught:
        second.reserve(30, 0.0, 10.0)
    assert caught.value.retry_after_s == pytest.approx(52.0)
    with pytest.raises(Overloaded):
        second.reserve(30, 0.0, 61.9)
    second.settle(second.reserve(30, 0.0, 62.0), 0, 0.0, 62.0)
    first.leave(63.0)
    assert acme.holds_nothing


def test_gpu_seconds_have_a_window_of_an_hour() -> None:
    acme = account(gpu_s_per_hour=10.0)
    one = acme.request()
    one.settle(one.reserve(5, 4.0, 0.0), 5, 9.5, 100.0)
    with pytest.raises(Overloaded, match="gpu_s_per_hour: 10") as caught:
        one.reserve(5, 1.0, 200.0)
    assert caught.value.retry_after_s == pytest.approx(3500.0)
    one.settle(one.reserve(5, 0.4, 200.0), 5, 0.4, 201.0)
    one.reserve(5, 1.0, 3701.0)


def test_a_tenant_has_so_many_requests_in_flight() -> None:
    acme = account(requests_in_flight=2)
    requests = [acme.request() for _ in range(3)]
    requests[0].enter(0.0)
    requests[1].enter(0.0)
    with pytest.raises(Overloaded, match="requests_in_flight: 2"):
        requests[2].enter(0.0)
    requests[2].leave(1.0)  # it never came in
    requests[0].leave(30.0)
    requests[0].leave(30.0)
    assert acme.in_flight == 1
    requests[2].enter(31.0)
    with pytest.raises(Overloaded) as caught:
        acme.request().enter(31.0)
    assert caught.value.retry_after_s == 15.0  # one of two requests of 30 s ends every 15 s


def test_who_has_no_limits_is_let_in_without_an_estimate() -> None:
    limited = TenantPolicy(limits=TenantLimits(requests_per_min=9))
    limits = Limits(DataPolicy(policies={"default": TenantPolicy(), "limited": limited}))
    free = limits.admit_freely(Tenant("free"))
    assert free is not None
    assert free.account.in_flight == 1
    assert limits.headers_of(free.account, 0.0) == limits.headers(Tenant("free"), 0.0) == []
    limits.settle(free, 10, 0.5, 1.0)
    assert limits.hold_nothing
    assert free.account.month.used(1.0) == 0.5
    assert limits.admit_freely(Tenant("other", policy="limited")) is None
    assert limits.account(Tenant("other", policy="limited")).in_flight == 0
    assert len(limits.headers(Tenant("other", policy="limited"), 0.0)) == 3


def test_a_used_up_window_refuses_at_the_door() -> None:
    acme = account(tokens_per_min=100)
    one = acme.request()
    one.settle(one.reserve(90, 0.0, 0.0), 130, 0.0, 5.0)
    with pytest.raises(Overloaded) as caught:
        acme.request().enter(6.0)
    assert caught.value.retry_after_s == pytest.approx(59.0)
    acme.request().enter(65.0)


def test_a_call_larger_than_the_window_is_let_through_alone() -> None:
    acme = account(tokens_per_min=100)
    one, other = acme.request(), acme.request()
    held = one.reserve(500, 0.0, 0.0)
    with pytest.raises(Overloaded):
        other.reserve(1, 0.0, 0.0)
    one.settle(held, 400, 0.0, 1.0)
    with pytest.raises(Overloaded):
        other.reserve(1, 0.0, 60.0)
    other.reserve(1, 0.0, 61.0)


def test_calls_draw_on_what_their_request_keeps() -> None:
    acme = account(tokens_per_min=100)
    tree, other = acme.request(), acme.request()
    tree.enter(0.0)
    assert tree.room(0.0)[0] == 100
    tree.keep(90, 0.0)
    with pytest.raises(Overloaded):
        other.reserve(20, 0.0, 0.0)
    first = tree.reserve(60, 0.0, 0.0)
    tree.settle(first, 20, 0.0, 1.0)  # 40 of the 60 go back to what is kept
    second = tree.reserve(75, 0.0, 1.0)  # 70 kept, and 5 of the 10 that were free
    with pytest.raises(Overloaded):
        other.reserve(6, 0.0, 1.0)
    tree.settle(second, 75, 0.0, 2.0)
    tree.leave(3.0)
    assert acme.holds_nothing
    assert acme.tokens.free(3.0) == 5


def test_a_clock_that_goes_back_frees_nothing() -> None:
    acme = account(tokens_per_min=100)
    one = acme.request()
    one.settle(one.reserve(90, 0.0, 1000.0), 90, 0.0, 1000.0)
    for now_s in (10.0, 1059.0):
        with pytest.raises(Overloaded):
            one.reserve(20, 0.0, now_s)
    one.reserve(20, 0.0, 90_000.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "keep", "leave"]), st.integers(0, 7), st.integers(1, 60)),
    max_size=60,
)


@given(STEPS, st.integers(20, 200), st.lists(st.floats(-30, 90), min_size=60, max_size=60))
@settings(max_examples=200)
def test_used_and_held_never_pass_the_limit_and_end_at_zero(
    steps: list[tuple[str, int, int]], limit: int, jumps: list[float]
) -> None:
    acme = account(tokens_per_min=limit)
    requests = [acme.request() for _ in range(8)]
    calls: list[tuple[int, object, int]] = []
    now_s = 0.0
    for (kind, which, amount), jump in zip(steps, jumps, strict=False):
        now_s += jump
        with suppress(Overloaded):
            requests[which].enter(now_s) if requests[which]._entered_s is None else None
        if kind == "reserve":
            with suppress(Overloaded):
                calls.append((which, requests[which].reserve(amount, 0.0, now_s), min(amount, limit)))
        elif kind == "keep" and requests[which].room(now_s)[0] >= amount:
            requests[which].keep(amount, 0.0)
        elif kind == "settle" and calls:
            owner, held, most = calls.pop(which % len(calls))
            requests[owner].settle(held, min(amount, most), 0.0, now_s)  # type: ignore[arg-type]  # drawn by Hypothesis
        elif kind == "leave" and not any(owner == which for owner, _, _ in calls):
            requests[which].leave(now_s)
        assert acme.tokens.free(now_s) >= -1e-6
        assert acme.tokens.held >= -1e-6
    for owner, held, _ in calls:
        requests[owner].settle(held, 0, 0.0, now_s)  # type: ignore[arg-type]  # drawn by Hypothesis
    for request in requests:
        request.leave(now_s)
    assert acme.holds_nothing


def tenants(built: House) -> Limits:
    return built.coordinator.limits


def limited(**limits: int) -> DataPolicy:
    return DataPolicy(policies={"default": TenantPolicy(limits=TenantLimits(**limits))})


def racing(seed: int) -> tuple[int, int, int]:
    """200 requests at once: (tokens used within the minute, the largest call, requests refused)."""

    def script(call: EngineCall, ctx: CallContext) -> Reply | str:
        said = sound(call, ctx)
        reply = Reply(said) if isinstance(said, str) else said
        prompt = sum(len(str(message["content"])) for message in call.messages) // 2
        return replace(reply, delay_s=0.001 * ((seed + len(str(call.messages))) % 7), usage=Usage(prompt, 60))

    async def main() -> tuple[int, int, int]:
        built = house(script, policy=limited(tokens_per_min=4_000))
        refused: list[Overloaded] = []

        async def one(number: int) -> None:
            try:
                await events_of(built, asks() if number % 3 else asks("hello"))
            except Overloaded as error:
                refused.append(error)

        tasks = [asyncio.create_task(one(number)) for number in range(200)]
        await asyncio.sleep(0.004)
        for task in tasks[seed % 5 :: 9]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                assert isinstance(error, ApplianceError), repr(error)
        assert tenants(built).hold_nothing
        assert built.dispatcher.in_flight == {}
        calls = [call for trace in built.traces.saved for call in trace.calls]
        used = sum(call.usage.total_tokens for call in calls)
        assert used == pytest.approx(
            4_000 - tenants(built).account(Tenant("acme")).tokens.free(asyncio.get_running_loop().time())
        )
        assert all(1.0 <= error.retry_after_s <= 61.0 for error in refused)
        return used, max(call.usage.total_tokens for call in calls), len(refused)

    return run(main())


@pytest.mark.parametrize("seed", range(8))
def test_racing_requests_pass_the_limit_by_one_call_at_most(seed: int) -> None:
    used, largest, refused = racing(seed)
    assert used <= 4_000 + largest
    assert used > 800  # as long as nothing is learned, a whole tree holds more than it takes
    assert refused > 100


def test_two_tenants_do_not_pay_for_each_other() -> None:
    async def main() -> None:
        built = house(policy=limited(requests_in_flight=1))
        built.client.script = lambda call, ctx: Reply("slow", delay_s=5.0)

        async def ask(tenant: str, number: int) -> None:
            stream = built.coordinator.answer(
                asks("hello"), request_id=f"{tenant}{number}", trace_id="t", tenant=Tenant(tenant)
            )
            async for _ in stream:
                pass

        results = await asyncio.gather(ask("acme", 1), ask("acme", 2), ask("other", 1), return_exceptions=True)
        assert [isinstance(result, Overloaded) for result in results] == [False, True, False]
        assert len(built.traces.saved) == 3
        await ask("acme", 3)
        assert tenants(built).hold_nothing

    run(main())
