"""The journal that a killed appliance left, at the next start."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

from appliance.bootstrap.wiring import build
from appliance.config import load
from appliance.domain.journal import CallSent, RequestBegun
from appliance.domain.model import Role
from appliance.domain.request import Usage
from appliance.domain.trace import BudgetRecord
from appliance.ledger.journal import JournalFile
from tests.cli.pool import Pool, make_pool
from tests.fakes.usage import passed_through

BEGUN = RequestBegun("t-killed", "r", "default", "auto", 1_700_000_000.0, BudgetRecord(32, 16_000, 60.0, 0, 0, 0.0))


def _left(pool: Pool) -> int:
    journal = JournalFile(pool.data_dir / "journal.sqlite")
    journal.close()
    return len(journal.left)


def _trace(pool: Pool, url: str) -> dict[str, object]:
    key = (pool.data_dir / "api-key").read_text().strip()
    request = urllib.request.Request(f"{url}/v1/traces/t-killed", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as answer:
        return dict(json.load(answer))


def _after_a_start(pool: Pool) -> dict[str, object]:
    """The trace of the killed request, as an appliance shows it that was started and stopped."""

    async def main() -> dict[str, object]:
        appliance = build(load(pool.config, {}))
        try:
            await appliance.start()
            return await asyncio.to_thread(_trace, pool, appliance.url)
        finally:
            await appliance.stop()

    return asyncio.run(main())


def test_a_start_makes_traces_of_what_was_left_and_only_once(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    pool.settings["ledger"] = {"keep_days": 10_000}
    pool.write()
    journal = JournalFile(pool.data_dir / "journal.sqlite")
    page = journal.begin(BEGUN)
    page.note(CallSent("c1", "answer", Role.GENERALIST, "fake-generalist", "fake-generalist-0", 1, 0.1, 0.0, 12, 99))
    journal.close()
    assert _left(pool) == 1

    trace = _after_a_start(pool)
    assert (trace["outcome"], trace["tenant"]) == ("interrupted", "default")
    assert trace["usage"] == {"prompt_tokens": 12, "completion_tokens": 0, "cached_tokens": 0}
    assert _left(pool) == 0


def test_requests_of_the_fast_path_are_brought_into_the_ledger_as_well(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    pool.settings["ledger"] = {"keep_days": 10_000}
    pool.write()
    begun = replace(passed_through("t-killed"), started_unix_s=time.time(), usage=Usage(12, 0), usage_estimated=True)
    for _ in range(2):  # the second time the ledger has it already
        journal = JournalFile(pool.data_dir / "journal.sqlite")
        journal.begin(begun)
        journal.close()
        trace = _after_a_start(pool)
        assert (trace["outcome"], trace["tenant"]) == ("interrupted", begun.tenant)
        assert trace["usage"] == {"prompt_tokens": 12, "completion_tokens": 0, "cached_tokens": 0}
        assert _left(pool) == 0
