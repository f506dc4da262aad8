from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.journal import CallSent, JournalEvent, RequestBegun, RequestEnded
from appliance.domain.model import Role
from appliance.domain.request import BudgetWish, ChatMessage, ChatRequest, Origin, Usage
from appliance.domain.trace import (
    BudgetRecord,
    CallRecord,
    Decision,
    Fallback,
    Outcome,
    TaskRecord,
    Verdict,
    VerdictRecord,
)
from appliance.domain.usage import PassThroughCall
from appliance.ledger.interrupted import ERROR, pass_through_of, trace_of
from appliance.ledger.journal import JournalFile, LeftPage
from tests.fakes.polling import until
from tests.fakes.usage import passed_through

BUDGET = BudgetRecord(32, 16_000, 60.0, 0, 0, 0.0)
REQUEST = ChatRequest(
    "auto", (ChatMessage("user", "ä?", {"name": "x"}),), 9, {"stop": ["."]}, labels=("secret",), budget=BudgetWish(3)
)
BEGUN = RequestBegun("t1", "r1", "acme", "auto", 1000.0, BUDGET, Origin("00-ab"), REQUEST)
SENT = CallSent("c2", "s1", Role.EXECUTOR, "math", "math-0", 1, 0.5, 0.25, 40, 104)
CALL = CallRecord(
    "c1", "plan", Role.PLANNER, "p", "p-0", 1, 0.0, 0.1, 0.2, None, Usage(10, 5, 2), Outcome.OK, gpu_s=0.2
)
TASK = TaskRecord("s1", "math", ("s0",), Outcome.SKIPPED, 0, None, "12*7")
EVENTS: tuple[JournalEvent, ...] = (
    BEGUN,
    Decision("plan_execute_verify", ("2 cues",)),
    replace(SENT, call_id="c1", task_id="plan"),
    CALL,
    TASK,
    SENT,
    VerdictRecord("s0", 1, Verdict.PASS, 0.9, 0.5, "verdict token", "v"),
    Fallback(Role.VERIFIER, "gone", "unverified"),
)


def wait(condition: Callable[[], bool]) -> None:
    asyncio.run(until(condition))


def written(path: Path, events: tuple[JournalEvent, ...] = EVENTS) -> tuple[LeftPage, ...]:
    """What a process leaves that ends after these events."""
    journal = JournalFile(path)
    assert isinstance(events[0], RequestBegun)
    page = journal.begin(events[0])
    for event in events[1:]:
        page.note(event)
    journal.close()
    again = JournalFile(path)
    again.close()
    return again.left


def test_a_page_that_was_not_torn_out_is_left_as_it_was_written(tmp_path: Path) -> None:
    (page,) = written(tmp_path / "journal")
    assert page.events == EVENTS
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o600


def test_a_page_that_was_torn_out_is_gone(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    slow, quick = journal.begin(BEGUN), journal.begin(BEGUN)
    quick.tear_out()
    wait(lambda: rows(tmp_path / "journal") == 1)
    slow.note(TASK)
    wait(lambda: rows(tmp_path / "journal") == 2)
    slow.tear_out()
    wait(lambda: rows(tmp_path / "journal") == 0)
    journal.close()


def test_what_is_known_of_a_request_is_asked_when_its_page_is_written(tmp_path: Path) -> None:
    asked: list[str] = []

    def of(name: str) -> Callable[[], PassThroughCall]:
        def cut_off() -> PassThroughCall:
            asked.append(name)
            return passed_through(name)

        return cut_off

    journal = JournalFile(tmp_path / "journal")
    slow, torn_out, quick = [journal.begin_later(of(name)) for name in ("slow", "torn out", "quick")]
    torn_out.tear_out()
    ended = replace(passed_through("quick"), ended_s=3.0)
    quick.note(ended)
    wait(lambda: rows(tmp_path / "journal") == 2)
    slow.note(replace(passed_through("slow"), ended_s=9.0))
    journal.close()
    assert asked == ["slow"]
    with closing(JournalFile(tmp_path / "journal")) as again:
        told = [pass_through_of(page.events, 2000.0) for page in again.left]
    assert told == [replace(passed_through("slow"), ended_s=9.0), ended]


def rows(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        count = connection.execute("SELECT count(*) FROM pages").fetchone()[0]
    connection.close()
    return int(count)


def test_pages_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    (first, second) = written(path, (replace(BEGUN, trace_id="t2"), TASK))
    assert [page.events[0] for page in (first, second)] == [BEGUN, replace(BEGUN, trace_id="t2")]
    journal = JournalFile(path)
    journal.page_of(first).tear_out()
    journal.close()
    again = JournalFile(path)
    assert [page.number for page in again.left] == [second.number]
    again.close()


def test_a_trace_is_made_of_what_was_heard() -> None:
    trace = trace_of(EVENTS, 1002.0)
    assert trace is not None
    assert (trace.outcome, trace.error, trace.duration_s) == (Outcome.INTERRUPTED, ERROR, 2.0)
    assert trace.calls[0] == CALL
    lost = trace.calls[1]
    assert (lost.call_id, lost.outcome, lost.usage, lost.usage_estimated) == (
        "c2", Outcome.INTERRUPTED, Usage(40, 0), True,
    )  # fmt: skip
    assert (lost.engine_s, lost.engine_id) == (1.25, "math-0")
    assert trace.usage == Usage(50, 5, 2)
    assert trace.budget == replace(BUDGET, used_calls=2, used_tokens=55, used_wall_s=2.0, used_gpu_s=0.2)
    assert [(task.task_id, task.outcome) for task in trace.tasks] == [("s1", Outcome.INTERRUPTED)]
    assert (trace.question, trace.request, trace.origin) == ("ä?", REQUEST, Origin("00-ab"))
    assert trace.decision.strategy == "plan_execute_verify"
    assert len(trace.verdicts) == len(trace.fallbacks) == 1


def test_a_call_that_was_settled_is_not_charged_for_its_sending_too() -> None:
    trace = trace_of((*EVENTS, replace(CALL, call_id="c2", usage=Usage(3, 4))), 1002.0)
    assert trace is not None
    assert trace.usage == Usage(13, 9, 2)
    assert trace.budget.used_calls == 2


def test_a_request_that_had_ended_keeps_its_outcome() -> None:
    done = replace(TASK, outcome=Outcome.OK, result="84")
    trace = trace_of((*EVENTS, done, RequestEnded(Outcome.OK, "", 1.5, "79")), 1002.0)
    assert trace is not None
    assert (trace.outcome, trace.error, trace.duration_s, trace.answer) == (Outcome.OK, "", 1.5, "79")
    assert trace.tasks == (done,)


def test_a_page_without_its_beginning_is_no_trace() -> None:
    assert trace_of(EVENTS[1:], 1002.0) is None
    assert trace_of((), 0.0) is None


def test_what_is_no_journal_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"no database" * 100)
    (page,) = written(path)
    assert page.events == EVENTS
    assert (tmp_path / "journal.broken").read_bytes().startswith(b"no database")
    assert "put aside" in caplog.text


def test_a_disk_that_fails_is_told_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[None] = []
    journal = JournalFile(tmp_path / "journal", lambda: failures.append(None))
    with sqlite3.connect(tmp_path / "journal") as other:
        other.execute("DROP TABLE pages")
    other.close()
    for count in (1, 2):
        journal.begin(BEGUN)
        wait(lambda: len(failures) == count)  # noqa: B023 - asked within this turn only
    journal.close()
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert "see that the disk has room" in caplog.text


def test_a_place_that_can_not_be_written_is_no_reason_not_to_start(tmp_path: Path) -> None:
    failures: list[None] = []
    (tmp_path / "file").touch()
    journal = JournalFile(tmp_path / "file" / "journal", lambda: failures.append(None))
    page = journal.begin(BEGUN)
    page.tear_out()
    journal.close()
    assert len(failures) == 1


def test_what_can_not_be_written_down_is_lost_alone(tmp_path: Path) -> None:
    half = replace(TASK, instruction="\ud800")
    (page,) = written(tmp_path / "journal", (BEGUN, half, TASK))
    assert page.events == (BEGUN, TASK)


def test_what_another_version_wrote_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, (BEGUN,))
    with sqlite3.connect(path) as other:
        lines = b'["Unknown", {}]\n["TaskRecord", {"task_id": 1}]\nno json\n\n[1]'
        other.execute("INSERT INTO pages VALUES (1, 99, 1001.0, ?)", (lines,))
    other.close()
    journal = JournalFile(path)
    assert [page.events for page in journal.left] == [(BEGUN,)]
    journal.close()
