"""The verbs in process: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from appliance.domain.engine import EngineState
from appliance.domain.fleet import EngineFigures
from appliance.domain.forecast import Reduction
from appliance.domain.request import BudgetWish, ContentDelta, ReasoningDelta
from appliance.errors import EngineRejected, EngineUnavailable
from tests.cli.pool import MODELS, Pool, make_pool
from tests.fakes.fake_coordinator import FakeCoordinator, Step, Until, finished
from tests.gateway.door import KEY, House, engine, served, until_silent
from tests.gateway.door import house as gateway

ANSWER: tuple[Step, ...] = (ReasoningDelta("thinking\n"), ContentDelta("The answer "), ContentDelta("is [b]42[/b]."))


@pytest.fixture(autouse=True)
def _wide_and_without_the_operator_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("APPLIANCE_URL", "APPLIANCE_CONFIG", "APPLIANCE_DATA_DIR", "APPLIANCE_PORT"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def error_of(result: Result) -> str:
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A gateway that answers ANSWER, known to the verbs by their environment."""
    target = House(FakeCoordinator(ANSWER))
    with served(target.app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        yield target


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


@pytest.mark.usefixtures("house")
def test_ask_prints_the_answer_alone() -> None:
    result = run("ask", "hello")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "The answer is [b]42[/b].\n", "")


@pytest.mark.usefixtures("house")
def test_ask_stream_keeps_progress_off_stdout() -> None:
    result = run("ask", "hello", "--stream")
    assert result.stdout == "The answer is [b]42[/b].\n"
    assert "thinking" in result.stderr


def test_ask_stream_reads_over_the_comments_of_a_silent_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    told = asyncio.Event()
    silent = gateway(ReasoningDelta("thinking\n"), Until(told), ContentDelta("42"), keep_alive_s=0.02)
    with served(until_silent(silent.app, told)) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        assert run("ask", "hello", "--stream").stdout == "42\n"


def test_ask_passes_model_and_question(house: House) -> None:
    run("ask", "how much?", "--model", "starter-planner")
    request = house.coordinator.requests[0]
    assert (request.model, request.messages[0].content) == ("starter-planner", "how much?")


def test_ask_preview_prints_the_forecast_and_asks_nothing(house: House) -> None:
    result = run("ask", "how much?", "--preview", "--budget", "calls=4,gpu_s=2.5")
    assert house.coordinator.requests[0].budget == BudgetWish(calls=4, gpu_s=2.5)
    assert house.coordinator.origins == []
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "would be answered by plan_execute_verify"
    assert "smaller plan: no verification (about 5 calls are needed, the request has 4)" in lines
    assert "executor starter-math 2.0 12 20 0.15" in lines
    assert "tokens 155 312" in lines
    assert "KV cache: about 156 tokens at once (3.0 MiB)" in lines
    assert lines[-1] == "learned from 9 requests"


@pytest.mark.usefixtures("house")
def test_ask_preview_as_json() -> None:
    assert json.loads(run("ask", "how much?", "--preview", "--json").stdout)["seconds"] == {"p50": 0.7, "p95": 1.9}


def test_ask_says_which_smaller_plan_ran(house: House) -> None:
    left = Reduction("no verification", "about 5 calls are needed, the request has 4")
    house.coordinator.steps = (ContentDelta("42"), replace(finished("t"), reduced=(left,)))
    result = run("ask", "hello", "--budget", "calls=4")
    assert (result.stdout, result.stderr) == (
        "42\n",
        "smaller plan: no verification (about 5 calls are needed, the request has 4)\n",
    )


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("depth=2", "'depth=2' is no limit"),
        ("tokens=many", "tokens: 'many' is no whole number"),
        ("", "'' is no limit"),
    ],
)
def test_ask_with_a_wrong_budget_says_what_is_wrong(budget: str, words: str) -> None:
    result = run("ask", "hello", "--budget", budget)
    assert result.exit_code == 2
    assert words in error_of(result)


@pytest.mark.usefixtures("house")
def test_ask_trace_that_is_not_there_is_a_clear_error() -> None:
    result = run("ask", "hello", "--trace")
    assert result.exit_code == 2
    assert "no trace" in error_of(result)


@pytest.mark.parametrize(
    ("steps", "stream", "code"),
    [
        ((EngineUnavailable("no engine is ready"),), False, 1),
        ((EngineRejected("the engine refused", status=400),), False, 2),
        ((ContentDelta("The "), EngineUnavailable("no engine is ready")), True, 1),
    ],
)
def test_ask_that_fails(house: House, steps: tuple[Step, ...], stream: bool, code: int) -> None:
    house.coordinator.steps = steps
    result = run("ask", "hello", *(["--stream"] if stream else []))
    assert result.exit_code == code
    assert "engine" in error_of(result)


def test_wrong_key_names_the_way_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_API_KEY", "sk-wrong")
    result = run("ask", "hello")
    assert result.exit_code == 2
    assert "Authorization" in error_of(result)
    assert house.coordinator.requests == []


def test_key_file_serves_too(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("APPLIANCE_API_KEY")
    file = tmp_path / "keys"
    file.write_text(f"# mine\n{KEY}\n")
    assert run("ask", "hello", "--key-file", str(file)).exit_code == 0
    assert run("ask", "hello", "--key-file", str(tmp_path / "none")).exit_code == 2


def test_status_tells_by_its_exit_code(house: House) -> None:
    result = run("status")
    assert (result.exit_code, "2 of 2 engines ready" in result.stdout) == (0, True)
    house.fleet.publish((engine("starter-planner", EngineState.FAILED),))
    result = run("status")
    assert (result.exit_code, "failed" in result.stdout) == (1, True)


def test_status_shows_memory_and_load_and_a_dash_for_what_is_not_known(house: House) -> None:
    gib = 1 << 30
    gpus = ("GPU-11111111-aaaa-bbbb",)
    house.fleet.figures = {"starter-planner-0": EngineFigures(gpus, 9 * gib, 7 * gib, 21_760, 3, 1, 12.5, "too much")}
    shown = run("status").stdout.splitlines()
    assert shown[1].split() == [
        "engine",
        "state",
        "on",
        "GiB",
        "(planned)",
        "KV",
        "tokens",
        "run+wait",
        "tokens/s",
        "pid",
    ]
    planner = shown[2].split()
    assert planner == [
        "starter-planner-0", "ready", "GPU-11111111", "7.0", "(9.0)", "21,760", "3+1", "12.5", "4711", "too", "much",
    ]  # fmt: skip
    assert shown[3].split()[2:] == ["–", "–", "(–)", "–", "–+–", "–", "4711"]


def test_an_engine_that_waits_for_its_turn_is_no_failure(house: House) -> None:
    asleep = replace(engine("starter-planner", EngineState.ASLEEP), turn_group="turn-1")
    house.fleet.publish((asleep, engine("starter-generalist")))
    result = run("status")
    assert result.exit_code == 0
    assert "1 of 2 engines ready, 1 wait for their turn" in result.stdout


def test_nothing_runs_here(pool: Pool) -> None:
    for verb in (["status"], ["ask", "hello"], ["trace", "list"]):
        result = run(*verb, "--config", str(pool.config))
        assert result.exit_code == 1
        assert "no appliance is running" in error_of(result)


def test_nobody_listens_there() -> None:
    result = run("status", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "can't be reached" in error_of(result)


def test_address_that_is_none() -> None:
    result = run("status", "--url", "file:///etc/passwd")
    assert result.exit_code == 2
    assert "http://" in error_of(result)


def test_config_check(pool: Pool) -> None:
    good = run("config", "check", str(pool.config))
    assert (good.exit_code, "good; 4 models, 4 engines" in good.stdout) == (0, True)
    pool.settings["server"]["port"] = "many"
    pool.write()
    bad = run("config", "check", str(pool.config))
    assert bad.exit_code == 2
    assert f"{pool.config}: server.port" in error_of(bad)


def test_config_schema_is_json() -> None:
    assert "pool" in json.loads(run("config", "schema").stdout)["properties"]


def test_no_configuration_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("status")
    assert result.exit_code == 2
    assert "--config FILE" in error_of(result)


def test_models_list_marks_the_pool(pool: Pool) -> None:
    shown = run("models", "list", "--config", str(pool.config)).stdout
    assert shown.count("✓") == len(MODELS)
    assert "Apache-2.0" in shown


def test_models_verify_names_each_broken_one(pool: Pool) -> None:
    assert run("models", "verify", "--config", str(pool.config)).exit_code == 0
    weights = pool.directory / "store" / "fake-math" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (pool.directory / "store" / "fake-verifier" / "config.json").unlink()
    result = run("models", "verify", "--config", str(pool.config))
    assert result.exit_code == 2
    assert "fake-planner: good" in result.stdout
    assert "fake-math" in result.stderr
    assert "is not the approved file" in result.stderr
    assert "config.json is missing" in result.stderr
