"""A process that is killed in the middle of a request, and what the next one finds of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance.domain.request import Usage
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Outcome, Trace
from appliance.ledger.interrupted import trace_of
from appliance.ledger.journal import JournalFile
from tests.coordinator.house import QUESTION, asks, house

ROOT = Path(__file__).parents[2]


def test_a_forecast_begins_no_page(tmp_path: Path) -> None:
    """Nothing runs, so there is nothing that a crash could interrupt."""

    async def main() -> None:
        with closing(JournalFile(tmp_path / "journal")) as journal:
            house(journal=journal).coordinator.forecast(asks(), tenant=Tenant("acme"))

    asyncio.run(main())
    with closing(JournalFile(tmp_path / "journal")) as journal:
        assert journal.left == ()


def killed(journal: Path, keep: str) -> tuple[Trace | None, ...]:
    """The traces of a process that was killed as soon as its request hung."""
    command = [sys.executable, "-m", "tests.coordinator.crashing", str(journal), keep]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGKILL)
    found = JournalFile(journal)
    found.close()
    return tuple(trace_of(page.events, page.heard_unix_s) for page in found.left)


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_a_killed_request_is_found_with_all_that_was_booked(tmp_path: Path, keep: str) -> None:
    (trace,) = killed(tmp_path / "journal", keep)
    assert trace is not None
    assert (trace.trace_id, trace.tenant, trace.outcome) == ("hangs", "acme", Outcome.INTERRUPTED)
    assert [(task.task_id, task.outcome) for task in trace.tasks] == [
        ("s1", Outcome.OK),
        ("s2", Outcome.INTERRUPTED),
    ]
    booked = {call.call_id: call for call in trace.calls}
    assert len(booked) == len(trace.calls)
    (lost,) = (call for call in trace.calls if call.outcome is Outcome.INTERRUPTED)
    assert (lost.task_id, lost.engine_id, lost.usage_estimated) == ("s2", "math-0", True)
    assert all(call.outcome is Outcome.OK for call in trace.calls if call is not lost)
    assert trace.usage == sum((call.usage for call in trace.calls), Usage())
    assert trace.budget.used_calls == len(trace.calls) == 4
    assert trace.budget.used_tokens == trace.usage.total_tokens
    assert len(trace.verdicts) == 1
    kept = (tmp_path / "journal").read_bytes()  # the pages stay until their traces are saved
    assert (QUESTION.encode() in kept) is (keep == "keep")
    assert (b"12*7" in kept) is (keep == "keep")
    assert (trace.question == QUESTION) is (keep == "keep")


def test_a_request_that_ended_leaves_nothing(tmp_path: Path) -> None:
    traces = killed(tmp_path / "journal", "drop")
    assert [trace.trace_id for trace in traces if trace] == ["hangs"]
