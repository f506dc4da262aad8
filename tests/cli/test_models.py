"""`appliance models`: what it shows, what it finds wrong, and what it adds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from tests.catalog.real_shape import PARAMETERS, write_model
from tests.cli.pool import MODELS, Pool, make_pool

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "config" / "examples" / "one-l4.yaml")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])


def error_of(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_list_as_json(pool: Pool) -> None:
    rows = json.loads(run("list", "--json", "--config", str(pool.config)).stdout)
    assert [row["id"] for row in rows if row["in_pool"]] == sorted(MODELS)
    assert all(row["weights_bytes"] > 0 and row["licence"] == "Apache-2.0" for row in rows)


def test_weights_in_the_list_follow_from_the_format_where_no_files_are_listed() -> None:
    rows = {row["id"]: row for row in json.loads(run("list", "--json", "--config", EXAMPLE).stdout)}
    small, large = rows["qwen2.5-7b-instruct-awq"], rows["qwen2.5-7b-instruct"]
    assert small["weights_bytes"] < large["weights_bytes"] / 2


def test_show_tells_manifest_shape_and_bytes() -> None:
    shown = run("show", "qwen2.5-7b-instruct-awq", "--config", EXAMPLE).stdout
    for words in (
        "Apache-2.0",
        "Alibaba Cloud (Qwen), China",
        "b25037543e9394b818fdfca67ab2a00ecc7dd641",
        "executor, generalist, synthesizer, verifier",
        "code 0.57",
        "awq in float16",
        "28 × attention, 28 heads, 4 KV heads of 128; feed-forward 18,944",
        "bfloat16",
        "57,344 bytes per token with kv_cache_dtype auto",
        "28,672 bytes per token with kv_cache_dtype fp8",
        "read 2026-11-23",
    ):
        assert words in shown


def test_show_as_json() -> None:
    document = json.loads(run("show", "deepseek-v3", "--json", "--config", EXAMPLE).stdout)
    assert document["id"] == "deepseek-v3"
    assert document["geometry"]["groups"][1]["feed_forward"]["experts"] == 256
    # 61 layers of 512 + 64 numbers in 16 bits (DeepSeek-V3's report: 70 KB per token).
    assert document["memory"]["kv"]["auto"]["bytes_per_token"] == 61 * 576 * 2
    assert document["memory"]["exact"] is False


@pytest.mark.parametrize("path", sorted((ROOT / "models" / "catalog").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_of_the_catalog_can_be_shown(path: Path) -> None:
    assert run("show", path.stem, "--config", EXAMPLE).exit_code == 0


def test_show_takes_the_shape_from_the_store_where_the_manifest_has_none(pool: Pool) -> None:
    shown = run("show", "fake-math", "--config", str(pool.config)).stdout
    assert "1 × attention, 2 heads" in shown
    assert "sum of the files" in shown
    (pool.directory / "store" / "fake-math" / "config.json").unlink()
    assert "no shape" in run("show", "fake-math", "--config", str(pool.config)).stdout


def test_show_of_an_unknown_model_names_the_known(pool: Pool) -> None:
    assert "take one of: fake-generalist" in error_of(run("show", "nothing", "--config", str(pool.config)))


def test_verify_names_every_bad_file(pool: Pool) -> None:
    home = pool.directory / "store" / "fake-math"
    (home / "model.safetensors").write_bytes((home / "model.safetensors").read_bytes()[:-1] + b"\1")
    (home / "config.json").write_text("{}")
    (home / "extra.py").write_text("")
    (home / "added.json").write_text("{}")
    result = run("verify", "--config", str(pool.config))
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for name in ("model.safetensors is not the approved file", "config.json has 2 bytes", "extra.py: ", "added.json: "):
        assert sum(name in line for line in lines) == 1
    assert "fake-planner: good" in result.stdout


def test_verify_of_named_models(pool: Pool) -> None:
    (pool.directory / "store" / "fake-math" / "config.json").unlink()
    assert run("verify", "fake-planner", "--config", str(pool.config)).exit_code == 0
    assert "take one of" in error_of(run("verify", "nothing", "--config", str(pool.config)))


def test_add_writes_a_manifest_that_verifies_and_shows(pool: Pool) -> None:
    home = pool.directory / "store" / "small"
    write_model(home)
    added = run("add", str(home), "--publisher", "Someone", "--role", "executor", "--config", str(pool.config))
    assert added.exit_code == 0, added.stderr
    assert f"small.yaml: {PARAMETERS} parameters, 5 files" in added.stdout
    assert "correct them there: country, family" in added.stdout
    assert "engines look for it" not in added.stdout
    assert run("verify", "small", "--config", str(pool.config)).exit_code == 0
    document = json.loads(run("show", "small", "--json", "--config", str(pool.config)).stdout)
    assert (document["roles"], document["publisher"], document["licence"]) == (["executor"], "Someone", "Apache-2.0")
    assert document["memory"]["kv"]["auto"]["bytes_per_token"] == 16
    assert "small is in the catalog already" in error_of(run("add", str(home), "--config", str(pool.config)))


def test_add_from_elsewhere_says_where_the_files_belong(pool: Pool, tmp_path: Path) -> None:
    write_model(tmp_path / "download")
    added = run("add", str(tmp_path / "download"), "--id", "small", "--config", str(pool.config))
    assert f"engines look for it in {pool.directory / 'store' / 'small'}" in added.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "modeling.py: .py files can run code"), (("--id", "No Good"), "id"), (("--role", "cook"), "cook")],
)
def test_add_refuses_and_leaves_nothing(pool: Pool, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    write_model(tmp_path / "download")
    if not arguments:
        (tmp_path / "download" / "modeling.py").write_text("")
    before = sorted((pool.directory / "catalog").iterdir())
    result = run("add", str(tmp_path / "download"), *arguments, "--config", str(pool.config))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert sorted((pool.directory / "catalog").iterdir()) == before


def test_add_of_nothing(pool: Pool, tmp_path: Path) -> None:
    assert "no such directory" in error_of(run("add", str(tmp_path / "none"), "--config", str(pool.config)))
