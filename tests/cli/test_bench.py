"""`appliance bench` through the public door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.bench import self_check
from appliance.bench.self_check import REQUIRED_CHUNKS_S, Reading, SelfCheck
from appliance.cli.main import app
from appliance.domain.request import ContentDelta, ReasoningDelta
from appliance.errors import EngineUnavailable
from tests.fakes.fake_coordinator import FakeCoordinator, finished
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, served

SCENARIO = """
name: small
phases:
  - {name: warm-up, purpose: warm_up, duration_s: 0.1, arrivals: {process: constant, rate: 20}}
  - {name: steady, duration_s: 0.2, arrivals: {process: poisson, rate: 50}, rates: [40, 80]}
mix:
  - {name: named, model: starter-generalist, prompts: {tokens: {mean: 5}}}
  - {name: team, model: auto, prompts: {tokens: {mean: 5}}, slo: {e2e_p95_s: 60}}
slo: {e2e_p95_s: 60}
error_budget: {share: 0.1, after: 5}
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A door at which two pieces are answered; the scenario is in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    traces = House().traces
    steps = (ReasoningDelta("step 1"), ContentDelta("4"), ContentDelta("2"), finished("t1", strategy="cascade"))
    made = House(FakeCoordinator(steps), traces=traces)
    made.coordinator.keeps = traces.traces
    traces.traces.append(repaired_trace("0"))
    with served(made.app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        Path("small.yaml").write_text(SCENARIO)
        yield made


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False)


def test_a_run_is_measured_kept_shown_and_compared(house: House) -> None:
    done = invoke("run", "small.yaml", "--out", "a", "--unchecked", "--html", "a.html", "--processes", "2")
    assert done.exit_code == 0, done.output
    held = "a second, the highest rate of the sweep"
    for text in ("steady@40", "steady@80", "verifier", "✓ all that count: e2e_p95_s", "unchecked: nobody knows", held):
        assert text in done.output
    document = json.loads(Path("a/result.json").read_text())
    everything = document["figures"][0]
    assert everything["failed"] == 0
    assert everything["requests"] == len(house.coordinator.requests) - 2 > 10
    assert everything["gpu_s_per_request"] == 0.25
    assert document["trees"]["team"]["fan_out"]["mean"] == 8
    assert document["trees"]["team"]["missing"] == 0
    team = next(row for row in document["figures"] if row["kind"] == "team" and not row["phase"])
    assert team["metrics"]["first_role_event"]["count"] == team["requests"]
    assert team["metrics"]["output_tokens"]["mean"] == 2
    assert "requests offered per second" in Path("a.html").read_text()
    assert invoke("report", "a", "--json").exit_code == 0

    assert invoke("run", "small.yaml", "--out", "b", "--unchecked").exit_code == 0
    same = invoke("compare", "a", "a", "--gate", "e2e_p95_s<=1.05", "--gate", "ttft_mean_s>=1", "--kind", "team")
    assert same.exit_code == 0, same.output
    assert "1.000" in same.output
    failed = invoke("compare", "a", "b", "--gate", "request_throughput_per_s>=1000", "--json")
    assert failed.exit_code == 1
    assert "gate request_throughput_per_s>=1000 does not hold: the ratio is" in failed.output


def test_other_scenarios_are_not_compared_by_mistake(house: House) -> None:
    assert invoke("run", "small.yaml", "--out", "a", "--unchecked").exit_code == 0
    Path("small.yaml").write_text(SCENARIO.replace("name: small", "name: small\nseed: 9"))
    assert invoke("run", "small.yaml", "--out", "b", "--unchecked").exit_code == 0
    refused = invoke("compare", "a", "b")
    assert refused.exit_code == 2
    assert "or compare nevertheless with --different" in refused.output
    assert invoke("compare", "a", "b", "--different").exit_code == 0


def test_the_error_budget_stops_the_run(house: House) -> None:
    house.coordinator.steps = (EngineUnavailable("no engine is ready"),)
    Path("small.yaml").write_text(SCENARIO.replace("duration_s: 0.2", "duration_s: 3600"))
    done = invoke("run", "small.yaml", "--out", "a", "--unchecked")
    assert done.exit_code == 1
    assert "stopped before its end: the error budget is used up" in done.output
    assert "status 503: no engine is ready" in done.output
    assert json.loads(Path("a/result.json").read_text())["stopped"].startswith("the error budget")


def test_a_generator_that_can_t_be_trusted_reports_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = SelfCheck(1, (Reading(REQUIRED_CHUNKS_S, 9_000, 0.01, 0.1),), 0.0)
    monkeypatch.setattr(self_check, "check", lambda _processes: bad)
    for verb in (("run", "small.yaml", "--out", "a"), ("self-check",)):
        refused = invoke(*verb)
        assert refused.exit_code == 1
        assert "give it more --processes" in refused.output
    assert not house.coordinator.requests
    assert not Path("a").exists()
    good = SelfCheck(1, (Reading(REQUIRED_CHUNKS_S, REQUIRED_CHUNKS_S, 0.0001, 0.1),), 0.0)
    monkeypatch.setattr(self_check, "check", lambda _processes: good)
    assert invoke("self-check").exit_code == 0
    done = invoke("run", "small.yaml", "--out", "a")
    assert done.exit_code == 0, done.output
    assert "of TTFT the generator adds 0.10 ms at 20,000 chunks a second" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "none.yaml"), "none.yaml: no such file; name the YAML file of a scenario"),
        (("run", "other.yaml", "--unchecked"), "mix.named.model: other is not served at http"),
        (("report", "none"), "none: no result can be read there"),
        (("compare", "none", "none"), "none: no result can be read there"),
        (("compare", "none", "none", "--gate", "fast"), "--gate: 'fast' is no gate; one is written"),
        (("compare", "none", "none", "--gate", "speed<=1"), "--gate: 'speed' is no figure"),
    ],
)
def test_what_the_caller_got_wrong(house: House, arguments: tuple[str, ...], said: str) -> None:
    Path("other.yaml").write_text(SCENARIO.replace("starter-generalist", "other"))
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not house.coordinator.requests


def test_a_kind_or_phase_that_a_run_lacks(house: House) -> None:
    assert invoke("run", "small.yaml", "--out", "a", "--unchecked").exit_code == 0
    refused = invoke("compare", "a", "a", "--kind", "hard")
    assert refused.exit_code == 2
    assert "kinds: named, team; phases: warm-up, steady@40, steady@80" in refused.output
