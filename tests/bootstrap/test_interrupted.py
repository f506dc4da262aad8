"""The journal that a killed appliance left, at the next start."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

from appliance.bootstrap import build
from appliance.config import load
from appliance.domain.journal import CallSent, RequestBegun
from appliance.domain.model import Role
from appliance.domain.trace import BudgetRecord
from appliance.ledger.journal import JournalFile
from tests.cli.pool import Pool, make_pool

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


def test_a_start_makes_traces_of_what_was_left_and_only_once(tmp_path: Path) -> None:
    pool = make_pool(tmp_path)
    pool.settings["ledger"] = {"keep_days": 10_000}
    pool.write()
    journal = JournalFile(pool.data_dir / "journal.sqlite")
    page = journal.begin(BEGUN)
    page.note(CallSent("c1", "answer", Role.GENERALIST, "fake-generalist", "fake-generalist-0", 1, 0.1, 0.0, 12, 99))
    journal.close()
    assert _left(pool) == 1

    async def main() -> None:
        appliance = build(load(pool.config, {}))
        try:
            await appliance.start()
            trace = await asyncio.to_thread(_trace, pool, appliance.url)
            assert (trace["outcome"], trace["tenant"]) == ("interrupted", "default")
            assert trace["usage"] == {"prompt_tokens": 12, "completion_tokens": 0, "cached_tokens": 0}
        finally:
            await appliance.stop()

    asyncio.run(main())
    assert _left(pool) == 0
