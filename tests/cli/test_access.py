"""`appliance tenants`, `keys` and `policy` in process, and against a running appliance."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from appliance.bootstrap.wiring import build
from appliance.cli.main import app
from appliance.config import load
from tests.cli.pool import Pool, get, make_pool

POLICIES: dict[str, Any] = {
    "labels": {"internal": {}, "secret": {"models": ["fake-math"], "nodes": ["vault"], "keep_content": False}},
    "policies": {"small": {"max_tokens": 64, "licences": ["Apache-2.0"], "limits": {"requests_per_min": 9}}},
}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("APPLIANCE_URL", "APPLIANCE_CONFIG", "APPLIANCE_DATA_DIR", "APPLIANCE_KEY_PEPPER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    made = make_pool(tmp_path)
    made.settings["policy"] = POLICIES
    made.write()
    return made


def run(pool: Pool, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(pool.config)], catch_exceptions=False)


def good(pool: Pool, *arguments: str) -> str:
    result = run(pool, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def keys(pool: Pool) -> list[dict[str, Any]]:
    listed = json.loads(good(pool, "keys", "list", "--json"))
    assert isinstance(listed, list)
    return listed


def test_a_tenant_from_its_making_to_its_end(pool: Pool) -> None:
    made = good(pool, "tenants", "create", "billing", "--policy", "small", "--label", "internal", "--note", "Ann")
    assert "keys create billing" in made
    assert (
        good(pool, "tenants", "set", "billing", "--label", "secret")
        == "billing: policy small, labels internal, secret\n"
    )
    assert "small" in good(pool, "tenants", "show", "billing")
    assert good(pool, "tenants", "disable", "billing").startswith("billing: disabled")
    listed = {row["name"]: row for row in json.loads(good(pool, "tenants", "list", "--json"))}
    assert set(listed) == {"default", "billing"}
    assert (listed["billing"]["state"], listed["billing"]["labels"]) == ("disabled", ["internal", "secret"])
    good(pool, "tenants", "enable", "billing")
    assert "enabled" in good(pool, "tenants", "list")


def test_a_key_is_shown_once_and_found_by_its_id(pool: Pool) -> None:
    good(pool, "tenants", "create", "billing")
    result = run(pool, "keys", "create", "billing", "--scope", "traces", "--expires", "90d", "--note", "batch")
    secret = result.stdout.strip()
    key_id = secret.split("-")[1]
    assert result.stdout == f"{secret}\n"
    assert f"{key_id}: a key of billing (traces, until" in result.stderr
    for listed in (
        good(pool, "keys", "list"),
        good(pool, "keys", "list", "--json"),
        good(pool, "tenants", "show", "billing"),
    ):
        assert key_id in listed
        assert secret not in listed
    (row,) = keys(pool)
    assert (row["tenant"], row["scopes"], row["state"], row["note"]) == ("billing", ["traces"], "valid", "batch")
    assert "digest" not in row
    assert row["expires_unix_s"] - row["created_unix_s"] == 90 * 86_400
    for name in ("ledger.sqlite", "key-pepper"):
        assert stat.S_IMODE((pool.data_dir / name).stat().st_mode) == 0o600
    assert secret.encode() not in (pool.data_dir / "ledger.sqlite").read_bytes()


def test_rotation_keeps_what_the_key_was_and_ends_the_old_one(pool: Pool) -> None:
    good(pool, "tenants", "create", "billing")
    first = json.loads(good(pool, "keys", "create", "billing", "--scope", "admin", "--expires", "10d", "--json"))
    second = json.loads(good(pool, "keys", "rotate", first["key_id"], "--overlap", "1h", "--json"))
    old, new = sorted(keys(pool), key=lambda row: row["created_unix_s"])
    assert (old["replaced_by"], new["key_id"], new["scopes"]) == (new["key_id"], second["key_id"], ["admin"])
    assert old["expires_unix_s"] == pytest.approx(time.time() + 3600, abs=60)
    assert new["expires_unix_s"] - new["created_unix_s"] == pytest.approx(10 * 86_400, abs=1)
    assert "was rotated already" in run(pool, "keys", "rotate", first["key_id"]).stderr
    good(pool, "keys", "revoke", second["key_id"])
    assert {row["state"] for row in keys(pool)} == {"valid", "revoked"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenants", "create", "Big Bank"), "a name has small letters"),
        (
            ("tenants", "create", "x", "--policy", "none"),
            "--policy none: not in the configuration; known: default, small",
        ),
        (("tenants", "create", "x", "--label", "odd"), "--label odd: it has no rule"),
        (("tenants", "set", "nobody", "--note", "x"), "no tenant nobody"),
        (("tenants", "set", "default"), "nothing to change"),
        (("tenants", "show", "nobody"), "no tenant nobody"),
        (("keys", "create", "nobody"), "no tenant nobody"),
        (("keys", "create", "default", "--expires", "soon"), "--expires soon: not a span of time"),
        (("keys", "create", "default", "--label", "odd"), "--label odd: it has no rule"),
        (("keys", "revoke", "abc"), "no key abc"),
        (("keys", "rotate", "abc", "--overlap", "x"), "--overlap x: not a span of time"),
        (("policy", "explain", "--tenant", "nobody"), "no tenant nobody"),
        (("policy", "explain", "--model", "gpt"), "--model gpt: not in the pool"),
    ],
)
def test_wrong_input_is_one_clear_line(pool: Pool, arguments: tuple[str, ...], words: str) -> None:
    result = run(pool, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert keys(pool) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 0, "yes: tenant default, policy default"),
        (("--model", "fake-math"), 0, "policy default: asks about nothing"),
        (
            ("--label", "secret", "--model", "fake-math", "--node", "vault"),
            0,
            "label secret: models: fake-math; nodes: vault",
        ),
        (("--label", "secret", "--model", "fake-planner"), 1, "no: label secret: fake-planner is not allowed for it"),
        (("--label", "secret", "--node", "local"), 1, "no: label secret: node local is not allowed for it"),
        (
            (
                "--label",
                "odd",
            ),
            1,
            "no: label odd: it is not known",
        ),
        (("--tenant", "billing", "--model", "fake-math"), 0, "limit requests_per_min: 9"),
        (
            ("--tenant", "billing", "--max-tokens", "65"),
            1,
            "no: policy small: max_tokens 65 is more than 64; ask for less",
        ),
        (("--tenant", "billing", "--max-tokens", "64"), 0, "policy small: licences: Apache-2.0; max_tokens: 64"),
    ],
)
def test_explain_says_yes_or_no_and_the_rule(pool: Pool, arguments: tuple[str, ...], code: int, words: str) -> None:
    good(pool, "tenants", "create", "billing", "--policy", "small")
    result = run(pool, "policy", "explain", *arguments)
    assert result.exit_code == code
    assert words in result.stdout
    document = json.loads(run(pool, "policy", "explain", *arguments, "--json").stdout)
    assert document["allowed"] == (code == 0)


def test_explain_refuses_a_disabled_tenant(pool: Pool) -> None:
    good(pool, "tenants", "disable", "default")
    result = run(pool, "policy", "explain")
    assert (result.exit_code, result.stdout) == (1, "no: tenant default: it is disabled\n")


def test_a_lost_pepper_is_told(pool: Pool) -> None:
    good(pool, "tenants", "create", "billing")
    (pool.data_dir / "key-pepper").unlink()
    result = run(pool, "keys", "create", "billing")
    assert result.exit_code == 2
    assert "another pepper" in result.stderr


def test_a_running_appliance_goes_by_keys_that_are_made_and_revoked_meanwhile(pool: Pool) -> None:
    async def main() -> None:
        appliance = build(load(pool.config, {}))
        try:
            await appliance.start()
            await asyncio.to_thread(good, pool, "tenants", "create", "billing")
            made = json.loads(await asyncio.to_thread(good, pool, "keys", "create", "billing", "--json"))

            def status(path: str) -> int:
                return get(f"{appliance.url}{path}", key=made["key"])

            assert await asyncio.to_thread(status, "/v1/models") == 200
            assert await asyncio.to_thread(status, "/v1/traces") == 403
            await asyncio.to_thread(good, pool, "keys", "revoke", made["key_id"])
            while await asyncio.to_thread(status, "/v1/models") == 200:
                pass
            assert await asyncio.to_thread(status, "/v1/models") == 401
        finally:
            await appliance.stop()

    asyncio.run(main())
