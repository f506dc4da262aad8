"""`appliance usage`, in process: against a gateway, and on a ledger where none runs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from appliance.ledger.database import Database
from appliance.ledger.usage_query import UsageLine
from appliance.ledger.usage_store import UsageStore
from tests.cli.pool import make_pool
from tests.fakes.usage import FixedTerms, passed_through
from tests.gateway.door import KEY, House, served

LINES = (
    UsageLine({"tenant": "acme", "model": "text"}, 3, 5, 3_000, 100, 800, 12.5, 7_200.0, 0.25, "EUR", 0),
    UsageLine({"tenant": "=cmd", "model": "math"}, 1, 1, 20, 10, 0, 0.5, None, None, "", 1),
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["usage", *arguments], catch_exceptions=False)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """A gateway that the verb knows by its environment."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
    target = House()
    target.usage.lines = LINES
    return target


def test_a_table_with_a_total_and_what_the_gateway_was_asked(house: House) -> None:
    with served(house.app) as url:
        shown = run("--by", "tenant,model", "--since", "2026-01-31", "--tenant", "acme", "--url", url)
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[1] == ["acme", "text", "3", "5", "3,000", "800", "100", "12.50", "2.00", "0.2500", "EUR"]
    assert lines[2] == ["=cmd", "math", "1", "1", "20", "0", "10", "0.50", "–", "–"]
    assert lines[3] == ["all", "–", "6", "3,020", "800", "110", "13.00", "2.00", "0.2500", "EUR"]
    (query,) = house.usage.queries
    assert (query.tenant, query.until_unix_s, [key.value for key in query.by]) == ("acme", None, ["tenant", "model"])
    assert query.since_unix_s is not None


def test_csv_and_json_hold_every_figure(house: House) -> None:
    with served(house.app) as url:
        table, document = run("--by", "tenant,model", "--csv", "--url", url), run("--json", "--url", url)
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [row["tenant"] for row in rows] == ["acme", "'=cmd"]
    assert (rows[0]["gpu_s"], rows[0]["cost"], rows[1]["cost"], rows[1]["estimated_calls"]) == ("12.5", "0.25", "", "1")
    assert json.loads(document.stdout)[0]["group"] == {"tenant": "acme", "model": "text"}


def test_where_no_appliance_runs_the_ledger_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    pool = make_pool(tmp_path)
    missing = run("--config", str(pool.config))
    assert missing.exit_code == 2
    assert "there is no ledger yet" in missing.stderr

    async def write() -> None:
        with closing(Database(pool.data_dir / "ledger.sqlite")) as database:
            usage = UsageStore(database, FixedTerms())
            usage.record_pass_through(passed_through(started_unix_s=1000.0))
            await asyncio.wrap_future(usage.settle())

    asyncio.run(write())
    shown = run("--by", "strategy", "--since", "1970-01-01", "--config", str(pool.config)).stdout
    assert shown.splitlines()[1].split()[:3] == ["passthrough", "1", "1"]
    assert len(run("--config", str(pool.config)).stdout.splitlines()) == 1, "only of the last 30 days"


@pytest.mark.parametrize("wrong", [("--since", "never"), ("--until", "5y"), ("--csv", "--json")])
def test_a_wrong_question_is_refused(wrong: tuple[str, ...]) -> None:
    refused = run(*wrong)
    assert refused.exit_code == 2
    assert wrong[0] in refused.stderr
