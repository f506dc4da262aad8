from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.domain.audit import Accepted, Act, Finished
from appliance.errors import AuditFailed, ConfigError, LedgerError
from appliance.ledger.audit_chain import Link, first_break, parsed, start
from appliance.ledger.audit_file import AuditFile, chains, lines, read_head, segments
from appliance.ledger.audit_log import NO_AUDIT, AuditLog
from tests.ledger.places import no_file_larger_than

KEY = b"k" * 32
EVENT = Accepted("r1", "t1", "acme", "key ab12", "/v1/chat/completions", "auto", body=b"{}")
ENDED = Finished("r1", "t1", "ok")


def place(directory: Path, segment_bytes: int = 1_000_000) -> AuditFile:
    return AuditFile(directory / "audit", directory / "heads", KEY, segment_bytes)


def on(
    where: AuditFile, work: Callable[[AuditLog], Awaitable[None]], *, required: bool = True, sync: str = "second"
) -> None:
    async def main() -> None:
        log = AuditLog(where, KEY, required=required, sync=sync)
        try:
            await work(log)
        finally:
            log.close()

    asyncio.run(main())


def kinds(directory: Path, chain: str = "0") -> list[str]:
    """Of a chain that stands as it was written."""
    found = list(lines(segments(directory / "audit", chain)))
    head = read_head(directory / "heads", chain)
    assert head is not None
    broken, at = first_break(chain, found, [head], KEY)
    assert broken is None, broken
    assert at.number == head.number == len(found)
    return [str((parsed(line) or {})["kind"]) for line in found]


@pytest.mark.parametrize("sync", ["each", "second", "never"])
def test_what_was_awaited_is_in_the_file_and_what_ended_too(tmp_path: Path, sync: str) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)
        assert b'"trace_id":"t1"' in next(reversed(list(lines(segments(tmp_path / "audit", "0")))))
        log.finished(ENDED)
        await log.act(Act("keys.create", "k1", "default", ""))

    on(place(tmp_path), work, sync=sync)
    assert kinds(tmp_path) == ["opened", "accepted", "finished", "act"]


def test_many_at_once_are_all_there_in_their_order(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await asyncio.gather(*(log.accepted(Accepted("r", f"t{n}", "acme", "", "/x")) for n in range(5_000)))

    on(place(tmp_path), work)
    assert len(kinds(tmp_path)) == 5_001
    found = [(parsed(line) or {}).get("trace_id") for line in lines(segments(tmp_path / "audit", "0"))]
    assert found[1:] == [f"t{n}" for n in range(5_000)]


def test_the_next_process_goes_on_with_the_chain(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)

    for _ in range(3):
        on(place(tmp_path), work)
    assert kinds(tmp_path) == ["opened", "accepted"] * 3
    assert chains(tmp_path / "audit", tmp_path / "heads") == ["0"]


def test_processes_that_write_at_once_have_a_chain_each(tmp_path: Path) -> None:
    first, second = place(tmp_path), place(tmp_path)
    assert (first.chain, second.chain) == ("0", "1")
    first.close()
    third = place(tmp_path)
    assert third.chain == "0"
    second.close()
    third.close()


def test_a_chain_is_cut_into_segments(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        for _ in range(100):
            await log.accepted(EVENT)

    on(place(tmp_path, segment_bytes=10_000), work)
    on(place(tmp_path, segment_bytes=10_000), work)
    found = segments(tmp_path / "audit", "0")
    assert len(found) > 4
    assert all(path.stat().st_size <= 10_000 for path in found)
    assert len(kinds(tmp_path)) == 202
    first_lines = [parsed(next(iter(lines([path])))) or {} for path in found]
    assert [int(path.stem.rpartition("-")[2]) for path in found] == [record["n"] for record in first_lines]


def test_half_a_record_of_a_killed_process_is_cut_off_and_told(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)

    on(place(tmp_path), work)
    with segments(tmp_path / "audit", "0")[0].open("ab") as opened:
        opened.write(b'{"n":3,"prev":"ab')
    on(place(tmp_path), work)
    assert kinds(tmp_path) == ["opened", "accepted", "recovered", "opened", "accepted"]


def test_a_segment_without_a_record_is_no_obstacle(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)

    on(place(tmp_path), work)
    (tmp_path / "audit" / "0-000000000003.jsonl").write_bytes(b"")
    on(place(tmp_path), work)
    assert kinds(tmp_path) == ["opened", "accepted"] * 2


@pytest.mark.parametrize("cut", [1, 300])
def test_a_chain_that_is_shorter_than_its_head_says_is_not_gone_on_with(tmp_path: Path, cut: int) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)

    on(place(tmp_path), work)
    (segment,) = segments(tmp_path / "audit", "0")
    os.truncate(segment, segment.stat().st_size - cut)
    with pytest.raises(LedgerError, match=r"is not as it was written.*audit verify.*keep the files as evidence"):
        place(tmp_path)


def test_a_last_record_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)

    on(place(tmp_path), work)
    (segment,) = segments(tmp_path / "audit", "0")
    segment.write_bytes(segment.read_bytes().replace(b"acme", b"evil"))
    with pytest.raises(LedgerError, match="is not as it was written"):
        place(tmp_path)


def test_a_place_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(ConfigError, match=r"ledger\.audit: .*can't be written"):
        place(tmp_path)


def test_without_room_nothing_is_accepted_until_there_is_room_again(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        await log.accepted(EVENT)
        size = segments(tmp_path / "audit", "0")[0].stat().st_size
        with no_file_larger_than(size + 50):  # half a record fits
            for _ in range(2):
                with pytest.raises(
                    AuditFailed, match=r"can't be written \(.*without it nothing may leave; see that the"
                ):
                    await log.accepted(EVENT)
            assert segments(tmp_path / "audit", "0")[0].stat().st_size == size
            log.finished(ENDED)  # tried in the meantime or not: it waits until there is room
        await log.accepted(EVENT)

    on(place(tmp_path), work)
    found = kinds(tmp_path)
    assert sorted(found) == ["accepted", "accepted", "finished", "opened"]


def test_best_effort_lets_it_pass_and_tells_how_many_are_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(log: AuditLog) -> None:
        size = segments(tmp_path / "audit", "0")[0].stat().st_size
        with no_file_larger_than(size):
            for _ in range(3):
                await log.accepted(EVENT)
        await log.accepted(EVENT)

    on(place(tmp_path), work, required=False)
    assert kinds(tmp_path) == ["opened", "gap", "accepted"]
    gap = parsed(list(lines(segments(tmp_path / "audit", "0")))[1]) or {}
    assert gap["missing"] == 3
    assert len([record for record in caplog.records if "can't be written" in record.message]) == 1


@dataclass(slots=True)
class Broken:
    """A place where a mistake of ours is hit."""

    chain: str = "0"
    link: Link = field(default_factory=lambda: start("0"))
    torn: bytes = b""
    appended: int = 0

    def append(self, group: Sequence[bytes], link: Link, *, sync: bool) -> None:
        self.appended += 1
        if self.appended > 1:
            raise ZeroDivisionError
        self.link = link

    def sync(self) -> None:
        return

    def close(self) -> None:
        return


def test_a_mistake_of_ours_is_told_to_who_waits_and_ends_nothing() -> None:
    async def main() -> None:
        failures: list[None] = []
        log = AuditLog(Broken(), KEY, on_failure=lambda: failures.append(None))
        for _ in range(2):
            with pytest.raises(AuditFailed, match="ZeroDivisionError"):
                await log.accepted(EVENT)
        log.close()
        assert len(failures) >= 2

    asyncio.run(main())


def test_whoever_went_away_meanwhile_harms_nobody(tmp_path: Path) -> None:
    async def work(log: AuditLog) -> None:
        async def wait() -> None:
            await log.accepted(EVENT)

        tasks = [asyncio.create_task(wait()) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) >= 19

    on(place(tmp_path), work)
    assert len(kinds(tmp_path)) == 21


def test_without_an_audit_nothing_is_waited_for() -> None:
    async def main() -> None:
        await NO_AUDIT.accepted(EVENT)
        await NO_AUDIT.act(Act("x", "y", "", ""))
        NO_AUDIT.accepted(EVENT)
        NO_AUDIT.finished(ENDED)

    asyncio.run(main())
