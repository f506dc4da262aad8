"""A load from processes of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.bench.connection import Target
from appliance.bench.dialogue import ClosedPhase, OpenPhase, Phase
from appliance.bench.driver import Progress
from appliance.bench.processes import Driven, Load, drive_apart
from appliance.errors import NotMeasured
from tests.bench.test_driver import Same, opened
from tests.fakes.fake_vllm import FakeVllm


def driven(*phases: Phase, processes: int = 2, watch: Any = None) -> tuple[Driven, FakeVllm]:
    async def main() -> tuple[Driven, FakeVllm]:
        async with FakeVllm(model="m", script={"": "one two three"}) as fake:
            load = Load(Target(fake.status().base_url, fake.api_key), phases, Same(), run_id="r")
            return await asyncio.to_thread(drive_apart, load, processes=processes, watch=watch), fake

    return asyncio.run(main())


def test_the_parts_of_two_processes_are_one_run() -> None:
    seen: list[Progress] = []

    def watch(progress: Progress) -> str:
        seen.append(progress)
        return ""

    found, fake = driven(opened(20), watch=watch)
    assert [record.index for record in found.records] == list(range(20))
    assert not [record.error for record in found.records if record.error]
    assert {request.request_id for request in fake.requests} == {f"r-{n}-0" for n in range(20)}
    assert found.stopped == ""
    assert (seen[-1].sent, seen[-1].answered, seen[-1].tokens) == (20, 20, 60)


def test_a_run_can_be_stopped_and_keeps_what_there_is() -> None:
    phases = (ClosedPhase("closed", 0.0, 3_600.0, users=2, think_s=0.05),)
    found, _ = driven(*phases, processes=1, watch=lambda progress: "enough" if progress.answered else "")
    assert found.stopped == "enough"
    assert any(record.ok for record in found.records)
    assert {record.error for record in found.records if record.error} <= {"enough"}


class _Broken:
    def dialogue(self, index: int) -> Any:
        raise RuntimeError("no dialogues")


def test_a_process_that_fails_is_an_error_and_not_silence(capfd: pytest.CaptureFixture[str]) -> None:
    load = Load(Target("http://127.0.0.1:9"), (OpenPhase("p", 0.0, 1.0, (0.0,)),), _Broken())
    with pytest.raises(NotMeasured, match="ended before the run"):
        drive_apart(load)
    assert "no dialogues" in capfd.readouterr().err
