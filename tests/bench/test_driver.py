"""A load against a real HTTP server: what is sent, and what is noted of it. Nothing here is timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from appliance.bench.arrivals import constant
from appliance.bench.connection import Target
from appliance.bench.dialogue import ClosedPhase, Dialogue, OpenPhase, Phase
from appliance.bench.driver import Driver, Limits, Progress, Share, drive
from appliance.bench.records import RequestRecord
from tests.fakes.fake_vllm import FakeVllm, Fault, FaultKind


@dataclass(frozen=True, slots=True)
class Same:
    """Everybody asks in the same way; the question holds the number."""

    turns: int = 1
    stream: bool = True
    model: str = "m"

    def dialogue(self, index: int) -> Dialogue:
        turns = tuple(({"role": "user", "content": f"{index}.{turn}"},) for turn in range(self.turns))
        return Dialogue("plain", self.model, turns, fields={"max_tokens": 4}, stream=self.stream)


def opened(number: int, over_s: float = 0.1) -> OpenPhase:
    return OpenPhase("steady", 0.0, over_s, constant(number / over_s, number / over_s, over_s))


def against(
    use: Callable[[FakeVllm, Target], Awaitable[tuple[RequestRecord, ...]]], **made: Any
) -> tuple[tuple[RequestRecord, ...], FakeVllm]:
    async def main() -> tuple[tuple[RequestRecord, ...], FakeVllm]:
        async with FakeVllm(model="m", script={"": "one two three"}, api_key="k", **made) as fake:
            return await use(fake, Target(fake.status().base_url, "k")), fake

    return asyncio.run(main())


def test_an_open_load_comes_whole_and_in_order() -> None:
    records, fake = against(lambda _fake, target: drive(target, (opened(20),), Same()))
    assert [record.index for record in records] == list(range(20))
    assert not [record.error for record in records if record.error]
    assert [record.due_s for record in records] == pytest.approx([n * 0.005 for n in range(20)], abs=1e-6)
    for record in records:
        assert record.chunks == record.completion_tokens == 3
        assert record.due_s <= record.begun_s <= (record.sent_s or 0) <= (record.first_byte_s or 0)
        assert record.ttft_s is not None
        assert 0 < record.ttft_s <= record.e2e_s
        assert record.itl_s is not None
        assert len(record.gaps_s) == 2
    assert {request.body["messages"][0]["content"] for request in fake.requests} == {f"{n}.0" for n in range(20)}
    assert {request.headers["x-request-id"] for request in fake.requests} == {f"bench-{n}-0" for n in range(20)}


def test_a_server_that_stands_still_is_charged_for_all_that_was_due() -> None:
    """No coordinated omission: everything is sent at its time although nothing is answered."""

    async def use(fake: FakeVllm, target: Target) -> tuple[RequestRecord, ...]:
        fake.faults.append(Fault(FaultKind.HANG, times=10))
        driver = Driver(target, (opened(10),), Same(), on_progress=lambda p: watch(p))

        def watch(progress: Progress) -> None:
            if progress.sent == 10:
                driver.stop("the test has seen enough")

        return await driver.run()

    records, fake = against(use)
    assert len(fake.requests) == 10
    assert {record.error for record in records} == {"the test has seen enough"}
    assert all(record.e2e_s > 0 for record in records)


def test_turns_follow_each_other_with_the_answers_between_them() -> None:
    records, fake = against(lambda _fake, target: drive(target, (opened(2),), Same(turns=3)))
    assert sorted((record.index, record.turn) for record in records) == [(i, t) for i in (0, 1) for t in (0, 1, 2)]
    last = next(r for r in fake.requests if r.headers["x-request-id"] == "bench-1-2")
    assert [message["content"] for message in last.body["messages"]] == [
        "1.0", "one two three", "1.1", "one two three", "1.2",
    ]  # fmt: skip
    by_place = {(record.index, record.turn): record for record in records}
    assert by_place[0, 1].due_s == pytest.approx(by_place[0, 0].ended_s)


def test_so_many_callers_are_busy_and_no_more() -> None:
    phase = ClosedPhase("closed", 0.0, 0.3, users=3)
    records, fake = against(lambda _fake, target: drive(target, (phase,), Same(stream=False)))
    assert fake.max_running <= 3
    assert len(records) > 3
    assert len({record.index for record in records}) == len(records)
    assert all(record.completion_tokens == 3 and record.ttft_s is None for record in records)


def test_shares_are_the_whole_load() -> None:
    phases: tuple[Phase, ...] = (opened(9), ClosedPhase("closed", 0.1, 0.15, users=3))
    asked = []
    for part in range(2):
        _, fake = against(
            lambda _fake, target, part=part: Driver(target, phases, Same(), share=Share(part, 2)).run()  # type: ignore[misc]  # the default binds it
        )
        asked.append({request.body["messages"][0]["content"] for request in fake.requests})
    assert not asked[0] & asked[1]
    assert {f"{n}.0" for n in range(12)} <= asked[0] | asked[1]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.HTTP, status=503, message="no room", times=1), "status 503: no room"),
        (Fault(FaultKind.RESET, after_tokens=1, times=1), "the connection was lost"),
        (Fault(FaultKind.ERROR_EVENT, after_tokens=1, message="it died", times=1), "error in the stream: it died"),
    ],
)
def test_what_goes_wrong_stands_in_the_record(fault: Fault, said: str) -> None:
    async def use(fake: FakeVllm, target: Target) -> tuple[RequestRecord, ...]:
        fake.faults.append(fault)
        return await drive(target, (opened(4),), Same())

    records, _ = against(use)
    assert len(records) == 4
    (failed,) = (record for record in records if record.error)
    assert failed.error.startswith(said)


def test_nobody_answers_at_the_address() -> None:
    records = asyncio.run(drive(Target("http://127.0.0.1:9"), (opened(3),), Same()))
    assert len(records) == 3
    assert all(record.error.startswith("no connection: ") for record in records)


def test_who_waits_for_too_long_gives_up() -> None:
    async def use(fake: FakeVllm, target: Target) -> tuple[RequestRecord, ...]:
        fake.faults.append(Fault(FaultKind.HANG, times=1))
        return await drive(target, (opened(1),), Same(), limits=Limits(request_s=0.01))

    records, _ = against(use)
    assert records[0].error == "no whole answer within 0.01 s"
