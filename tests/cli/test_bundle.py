"""`appliance bundle` as it is called: each verb, its exit codes, and that no key is ever shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from appliance.cli.bundle import _part_bytes
from appliance.cli.byte_size import parsed_bytes
from appliance.cli.main import app
from tests.airgap.bundles import snapshot
from tests.cli.pool import MODELS, Pool, make_pool

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["bundle", *map(str, arguments)])


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    made = make_pool(tmp_path)
    assert run("keygen", "key").exit_code == 0
    return made


def create(pool: Pool, out: str, *more: str) -> Result:
    return run("create", "--config", pool.config, "--out", out, "--key", "key", *more)


@pytest.fixture
def bundle(pool: Pool) -> Path:
    done = create(pool, "one")
    assert done.exit_code == 0, done.output
    return pool.directory / "one"


def test_from_making_to_going_back(pool: Pool, bundle: Path, tmp_path: Path) -> None:
    secret = (tmp_path / "key").read_text().splitlines()[1]
    said = [run("verify", bundle, "-k", "key.pub"), run("install", bundle, "-k", "key.pub", "--root", "root")]
    (pool.directory / "docs").mkdir()
    (pool.directory / "docs" / "new.md").write_text("new")
    said += [create(pool, "two", "--since", "one", "--split", "1MiB"), run("diff", "one", "two")]
    assert "+ docs/new.md" in said[-1].stdout
    assert sum(path.stat().st_size for path in Path("two").glob("payload*")) < 10_000
    said += [
        run("install", "two", "-k", "key.pub", "--root", "root"),
        run("list", "--root", "root"),
        run("list", "two"),
    ]
    assert all(model in said[-1].stdout for model in MODELS)
    rows = json.loads(run("list", "--root", "root", "--json").stdout)
    assert [row["in_use"] for row in rows] == [True, False]
    assert rows[0]["previous"] == rows[1]["name"]
    assert Path("root/current/docs/new.md").read_text() == "new"
    said.append(run("rollback", "--root", "root"))
    assert not Path("root/current/docs/new.md").exists()
    said.append(run("rollback", "--root", "root", "--to", rows[0]["name"]))
    assert Path("root/current/docs/new.md").exists()
    for result in said:
        assert result.exit_code == 0, result.output
        assert secret not in result.output
    assert not any(secret in path.read_text(errors="replace") for path in Path("two").iterdir())


def other_key(bundle: Path) -> None:
    (bundle / "bundle.sig").write_bytes(bytes(64))


def unsafe_list(bundle: Path) -> None:
    """Signed by the right key."""
    from appliance.airgap.signing import read_private_key

    content = (bundle / "bundle.json").read_bytes().replace(b'"config/appliance.yaml"', b'"../../appliance.yaml"')
    (bundle / "bundle.json").write_bytes(content)
    (bundle / "bundle.sig").write_bytes(read_private_key(Path("key")).sign(content))


def damaged(bundle: Path) -> None:
    content = bytearray((bundle / "payload.tar").read_bytes())
    for at in (600, 2200):
        content[at] ^= 1
    (bundle / "payload.tar").write_bytes(content)


def cut_off(bundle: Path) -> None:
    os.truncate(bundle / "payload.tar", 1000)


@pytest.mark.parametrize(
    ("harm", "code", "lines"), [(other_key, 3, 1), (unsafe_list, 4, 1), (damaged, 5, 2), (cut_off, 6, 1)]
)
def test_exit_codes_tell_an_installer_what_to_do(
    bundle: Path, harm: Callable[[Path], None], code: int, lines: int
) -> None:
    assert run("install", bundle, "-k", "key.pub", "--root", "root").exit_code == 0
    before = snapshot(Path("root"))
    harm(bundle)
    verified = run("verify", bundle, "-k", "key.pub")
    assert verified.exit_code == code
    assert verified.stderr.count("error: ") == lines
    assert run("install", bundle, "-k", "key.pub", "--root", "root").exit_code == code
    assert snapshot(Path("root")) == before
    document = json.loads(run("verify", bundle, "-k", "key.pub", "--json").stdout)
    assert document["good"] is False
    assert len(document["problems"]) == lines


def test_base_that_is_missing_and_contents_that_are_refused(pool: Pool, bundle: Path) -> None:
    assert bundle.exists()
    (pool.directory / "docs").mkdir()
    (pool.directory / "docs" / "new.md").write_text("new")
    assert create(pool, "two", "--since", "one").exit_code == 0
    assert run("install", "two", "-k", "key.pub", "--root", "root").exit_code == 7
    (pool.directory / "store" / MODELS[0] / "evil.py").write_text("")
    refused = create(pool, "three")
    assert refused.exit_code == 8
    assert "evil.py" in refused.stderr
    assert not Path("three").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "one"),
        ("verify", "one", "-k", "missing.pub"),
        ("create", "--config", "appliance.yaml", "--out", "x"),
        ("create", "--config", "appliance.yaml", "--out", "x", "--key", "key", "--split", "much"),
        ("create", "--config", "appliance.yaml", "--out", "x", "--key", "key", "--split", "5"),
        ("create", "--config", "appliance.yaml", "--out", "one", "--key", "key"),
        ("create", "--config", "appliance.yaml", "--out", "x", "--key", "key", "--download-wheels", "engine-cpu"),
        ("create", "--config", "appliance.yaml", "--out", "x", "--key", "key.pub"),
        ("install", "one", "-k", "key.pub", "--root", "root", "--load"),
        ("keygen", "key"),
    ],
)
@pytest.mark.usefixtures("bundle")
def test_wrong_input(arguments: tuple[str, ...]) -> None:
    before = snapshot(Path("one"))
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert snapshot(Path("one")) == before
    assert not Path("x").exists()
    assert not Path("root").exists()


def test_sizes() -> None:
    assert parsed_bytes("4GiB") == 4 << 30
    assert parsed_bytes("700 MB") == 700_000_000
    assert parsed_bytes("1048576") == 1 << 20
    assert _part_bytes("4GiB") == (4 << 30) - 512
    for wrong in ("", "0", "-1", "4 gigs", "1.5GiB"):
        with pytest.raises(typer.BadParameter):
            parsed_bytes(wrong)


def test_it_is_verified_without_a_network_or_the_rest_of_the_house(bundle: Path) -> None:
    """As on the other side: another working directory, nothing but the bundle and the public key."""
    command = [sys.executable, "-m", "appliance", "bundle", "verify", str(bundle), "-k", str(bundle.parent / "key.pub")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout
