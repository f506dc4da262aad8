"""`appliance trace`, in process, against a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from appliance.domain.request import ChatMessage, ChatRequest, ContentDelta, Effort
from appliance.domain.trace import Outcome
from appliance.gateway.replay import load_pair
from appliance.gateway.traces import load
from tests.fakes.fake_coordinator import FakeCoordinator
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, served


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["trace", *arguments], catch_exceptions=False)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A gateway with three traces, known to the verbs by their environment."""
    target = House(FakeCoordinator((ContentDelta("42"),)))
    target.traces.traces += [repaired_trace(name) for name in ("abc", "def", "ghi")]
    with served(target.app) as url:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        yield target


@pytest.mark.usefixtures("house")
def test_show_prints_the_tree_or_the_document() -> None:
    assert "s2 text" in run("show", "abc").stdout
    assert load(run("show", "abc", "--json").stdout.encode()) == repaired_trace("abc")
    assert run("show", "../fleet").exit_code == 2


def test_ids_are_whole_on_narrow_terminals(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    house.traces.traces = [repaired_trace("0f" * 16)]
    lines = run("list").stdout.splitlines()
    assert "0f" * 16 in lines[1]
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("house")
def test_list_says_how_to_go_on() -> None:
    listed = run("list", "--limit", "2")
    lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["trace", "ghi", "def"]
    assert "plan_execute_verify" in lines[1]
    assert listed.stderr == "more: --cursor 1700000000.0~def\n"
    assert [line["trace_id"] for line in json.loads(run("list", "--json").stdout)["data"]] == ["ghi", "def", "abc"]


def test_list_passes_its_filters_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 10_000.0)
    run("list", "--since", "2h", "--outcome", "error", "--strategy", "direct", "--cursor", "1~a&b")
    (query,) = house.traces.queries
    assert (query.since_unix_s, query.outcome, query.strategy, query.cursor) == (
        2800.0,
        Outcome.ERROR,
        "direct",
        "1~a&b",
    )


@pytest.mark.usefixtures("house")
def test_a_since_that_is_none_is_a_clear_error() -> None:
    assert run("list", "--since", "2026-01-31").exit_code == 0
    result = run("list", "--since", "monday")
    assert result.exit_code == 2
    assert result.stderr == "error: --since monday: neither a span (30m, 12h, 7d) nor a date (2026-01-31)\n"


def test_replay_shows_both_side_by_side(house: House) -> None:
    stored = replace(repaired_trace("abc"), request=ChatRequest("auto", (ChatMessage("user", "What is …?"),)))
    house.traces.traces = [stored]
    house.coordinator.keeps = house.traces.traces
    choice = ("--model-for", "verifier=big", "--model-for", "executor.math=small", "--strategy", "direct")
    result = run("replay", "abc", *choice, "--effort", "low")
    (request,) = house.coordinator.requests
    assert request == replace(
        stored.request or request,
        model_for={"verifier": "big", "executor.math": "small"},
        strategy="direct",
        effort=Effort.LOW,
    )
    assert house.coordinator.origins[0].replay_of == "abc"
    assert "differs: effort, answer" in result.stdout
    original, again = load_pair(run("replay", "abc", "--json").stdout.encode())
    assert (original, again.answer) == (stored, "42")


@pytest.mark.usefixtures("house")
def test_replay_says_what_is_missing() -> None:
    result = run("replay", "abc")
    assert result.exit_code == 2
    assert "turn ledger.keep_content on and ask anew" in result.stderr
    result = run("replay", "abc", "--model-for", "verifier")
    assert result.stderr == "error: --model-for verifier: wants ROLE=MODEL, as in verifier=qwen3-8b\n"
