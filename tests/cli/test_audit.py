"""`appliance audit`, on chains that a gateway left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.bootstrap.auditing import open_audit, read_key, record_act
from appliance.cli.main import app
from appliance.config import load
from appliance.domain.audit import Accepted, Act, Finished
from appliance.ledger.audit_records import digest_of
from tests.cli.pool import Pool, make_pool


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """Two chains of a few records."""
    made = make_pool(tmp_path)
    settings = load(made.config, {})

    async def write() -> None:
        with ExitStack() as held:
            for tenant in ("acme", "other"):
                audit = open_audit(settings, held, worker=0).audit
                for number in range(3):
                    name = f"{tenant}-{number}"
                    await audit.accepted(Accepted(f"r-{name}", name, tenant, "key ab", "/v1/x", "auto", body=b"{}"))
                    audit.finished(Finished(f"r-{name}", name, "ok"))

    asyncio.run(write())
    return made


def run(pool: Pool, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--config", str(pool.config)], catch_exceptions=False)


def segment(pool: Pool, chain: str) -> Path:
    (found,) = (pool.data_dir / "audit").glob(f"{chain}-*.jsonl")
    return found


def test_chains_that_nobody_touched_are_whole(pool: Pool) -> None:
    verified = run(pool, "verify")
    assert verified.exit_code == 0
    assert [line.split(";")[0] for line in verified.stdout.splitlines()] == [
        f"chain {chain}: 7 records, each as it was written" for chain in "01"
    ]
    assert [told["problem"] for told in json.loads(run(pool, "verify", "--json").stdout)] == ["", ""]


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda lines: [*lines[:3], lines[3].replace(b"acme", b"evil"), *lines[4:]], 5),
        (lambda lines: [*lines[:3], *lines[4:]], 4),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        (lambda lines: lines[:5], 6),
        (lambda lines: [], 1),
    ],
)
def test_a_change_is_found_and_the_record_named(
    pool: Pool, change: Callable[[list[bytes]], list[bytes]], number: int
) -> None:
    file = segment(pool, "0")
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    verified = run(pool, "verify")
    assert verified.exit_code == 1
    assert verified.stdout.splitlines()[0].startswith(f"chain 0: record {number}")
    assert verified.stdout.splitlines()[1].startswith("chain 1: 7 records, each as it was written")
    assert "1 of 2 audit chains are not as they were written" in verified.stderr
    assert run(pool, "verify", "--chain", "1").exit_code == 0


def test_a_chain_can_be_verified_elsewhere_with_a_head_that_was_kept(pool: Pool, tmp_path: Path) -> None:
    kept, key = tmp_path / "kept", str(pool.data_dir / "audit-key")
    kept.write_text(run(pool, "head", "--chain", "1").stdout)
    file = segment(pool, "1")
    moved = file.rename(tmp_path / "moved.jsonl")
    arguments = ("verify", "--file", str(moved), "--head", str(kept), "--audit-key", key)
    assert run(pool, *arguments).exit_code == 0
    moved.write_bytes(b"".join(moved.read_bytes().splitlines(keepends=True)[:-1]))
    assert "records are missing at the end" in run(pool, *arguments).stderr
    refused = run(pool, "verify", "--file", str(moved), "--audit-key", key)
    assert (refused.exit_code, "--head" in refused.stderr) == (2, True)
    (tmp_path / "nonsense").write_text("{}")
    assert run(pool, "verify", "--head", str(tmp_path / "nonsense")).exit_code == 2


def test_a_chain_of_which_nothing_is_left_is_found_by_its_head(pool: Pool) -> None:
    segment(pool, "0").unlink()
    verified = run(pool, "verify")
    assert verified.exit_code == 1
    assert verified.stdout.splitlines()[0].startswith("chain 0: record 1: records are missing at the end")


def test_records_are_exported_with_their_hashes(pool: Pool) -> None:
    records = [json.loads(line) for line in run(pool, "export").stdout.splitlines()]
    assert len(records) == 14
    assert [record["prev"] for record in records[1:7]] == [record["hash"] for record in records[:6]]
    mine = [json.loads(line) for line in run(pool, "export", "--tenant", "acme", "--since", "1h").stdout.splitlines()]
    assert [record["trace_id"] for record in mine] == [f"acme-{n}" for n in range(3) for _ in range(2)]
    assert run(pool, "export", "--until", "2020-01-01").stdout == ""


def test_what_an_administrator_does_is_recorded_in_a_chain_of_its_own(pool: Pool) -> None:
    for name in ("k1", "k2"):
        record_act(load(pool.config, {}), Act("keys.create", name, "acme", "command line", {"scopes": "inference"}))
    records = [json.loads(line) for line in run(pool, "export", "--chain", "100").stdout.splitlines()]
    assert [(record["kind"], record.get("subject")) for record in records] == [
        ("opened", None), ("act", "k1"), ("opened", None), ("act", "k2"),
    ]  # fmt: skip
    assert run(pool, "verify", "--chain", "100").exit_code == 0


def test_a_body_can_be_compared_with_its_record(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"{}")
    told = run(pool, "digest", str(tmp_path / "body")).stdout.strip()
    assert told == digest_of(b"{}", read_key(pool.data_dir / "audit-key"))
    assert f'"body_hmac":"{told}"' in run(pool, "export").stdout
    assert run(pool, "digest", str(tmp_path / "none")).exit_code == 2


@pytest.mark.parametrize(("content", "says"), [("ab", "shorter than 32 bytes"), ("zz" * 40, "not hexadecimal")])
def test_a_key_that_can_not_be_used_is_refused(pool: Pool, content: str, says: str) -> None:
    (pool.data_dir / "audit-key").write_text(content)
    refused = run(pool, "verify")
    assert (refused.exit_code, says in refused.stderr) == (2, True)
