"""The fast path tells the journal of what is on its way, and takes it back once it is in the ledger."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.request import Usage
from appliance.domain.trace import Outcome
from appliance.ledger.interrupted import ERROR, pass_through_of
from appliance.ledger.journal import JournalFile
from tests.fakes.fake_vllm import Fault, FaultKind
from tests.fakes.polling import until
from tests.fakes.usage import passed_through
from tests.gateway.relay.house import MODEL, ask, house, replicas


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_on_its_way_is_found_with_its_prompt(tmp_path: Path, stream: bool) -> None:
    """The journal is closed in the middle of a request, as it is left by a killed process."""

    async def main() -> None:
        journal = JournalFile(tmp_path / "journal")
        hangs = [Fault(FaultKind.HANG)]
        async with replicas(1, faults=hangs) as fakes, house(*fakes, journal=journal) as both:
            asking = asyncio.create_task(both.fast.post(ask("Which pen of them all?", stream=stream)))
            await until(lambda: fakes[0].requests)
            journal.close()
            asking.cancel()
            await both.fast.settled()

    asyncio.run(main())
    with closing(JournalFile(tmp_path / "journal")) as found:
        (page,) = found.left
    call = pass_through_of(page.events, page.heard_unix_s)
    assert call is not None
    assert (call.outcome, call.model_id, call.engine_id, call.tenant) == (
        Outcome.INTERRUPTED,
        MODEL,
        f"{MODEL}-0",
        "acme",
    )
    assert call.usage == Usage(8 + 11, 0)
    assert call.usage_estimated
    assert call.ended_s >= 0


def test_what_ended_is_found_as_it_ended_until_the_ledger_has_it() -> None:
    begun = passed_through(started_unix_s=1000.0)
    ended = replace(begun, ended_s=3.0)
    cut_off = pass_through_of([begun], 1002.0)
    assert cut_off == replace(begun, ended_s=2.0, outcome=Outcome.INTERRUPTED, error=ERROR)
    assert pass_through_of([begun, ended], 1009.0) == ended
    assert pass_through_of([], 1009.0) is None


def test_nothing_is_left_of_what_ended(tmp_path: Path) -> None:
    async def main() -> None:
        with closing(JournalFile(tmp_path / "journal")) as journal:
            async with replicas(1) as fakes, house(*fakes, journal=journal) as both:
                for stream in (False, True):
                    assert (await both.fast.post(ask(stream=stream))).status == 200
                await both.fast.settled()
                assert len(both.fast.calls.seen) == 2

    asyncio.run(main())
    with closing(JournalFile(tmp_path / "journal")) as found:
        assert found.left == ()
