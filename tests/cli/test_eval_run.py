"""`appliance eval run`, `report`, `import` and `leakage` through the public door."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Origin
from appliance.domain.tenant import Tenant
from tests.fakes.fake_coordinator import FakeCoordinator, finished
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, served

SUITE = """
name: sums
items: sums.jsonl
grader: {type: numeric}
"""


@dataclass(slots=True)
class Calculator(FakeCoordinator):
    """The team adds; the generalist alone is wrong about every second task. Each answer leaves a trace."""

    house: House | None = None

    async def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin
    ) -> AsyncGenerator[AnswerEvent, None]:
        """One number."""
        self.requests.append(request)
        number = int(request.messages[-1].content)
        assert self.house is not None
        self.house.traces.traces.append(repaired_trace(trace_id))
        yield ContentDelta(str(number if request.model == "auto" else number - number % 2))
        yield finished(trace_id)


@pytest.fixture
def calculator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calculator]:
    """A door at which it answers; the suite is in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    coordinator = Calculator()
    coordinator.house = House(coordinator)
    with served(coordinator.house.app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        Path("suite.yaml").write_text(SUITE)
        rows = [
            {"id": f"t{n}", "class": "even" if n % 2 == 0 else "odd", "question": str(n), "answer": str(n)}
            for n in range(40)
        ]
        Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        yield coordinator


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", *arguments], catch_exceptions=False)


def test_a_run_is_compared_told_and_drawn(calculator: Calculator) -> None:
    done = invoke("run", "suite.yaml", "--targets", "auto,starter-generalist", "--out", "run.jsonl", "--html", "r.html")
    assert done.exit_code == 0, done.output
    assert "odd: orchestrate" in done.output
    assert "even: single model" in done.output
    assert "100.0%" in done.output
    assert "verifier" in done.output
    assert "+100.0 points" in Path("r.html").read_text()
    assert len(calculator.requests) == 80


def test_a_run_goes_on_and_its_report_can_be_had_again(calculator: Calculator) -> None:
    command = ("run", "suite.yaml", "--targets", "auto,starter-generalist", "--out", "run.jsonl")
    assert invoke(*command).exit_code == 0
    lines = Path("run.jsonl").read_text().splitlines(keepends=True)
    Path("run.jsonl").write_text("".join(lines[:31]) + lines[31][:20])
    calculator.requests.clear()
    assert invoke(*command).exit_code == 0
    assert len(calculator.requests) == 50
    again = invoke("report", "run.jsonl", "--json", "--gpu-hour-price", "3.6")
    document = json.loads(again.stdout)
    assert {verdict["class"]: verdict["advice"] for verdict in document["verdicts"]} == {
        "all tasks": "orchestrate",
        "even": "single model",
        "odd": "orchestrate",
    }
    row = document["rows"][0]
    assert row["money_per_task"] == pytest.approx(row["gpu_seconds_per_task"] / 1000)
    assert row["calls_by_role_per_task"]["executor"] == 3


def test_only_a_part(calculator: Calculator) -> None:
    assert invoke("run", "suite.yaml", "--targets", "auto", "--tasks", "6", "--out", "run.jsonl").exit_code == 0
    assert len(calculator.requests) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "none.yaml", "--targets", "auto"), "none.yaml: no such file; name the YAML file of a suite"),
        (("run", "suite.yaml", "--targets", "other"), "neither auto nor a model of the pool"),
        (("report", "none.jsonl"), "none.jsonl: the run can't be read"),
        (("import", "gsm8k", "none.jsonl", "--name", "x"), "none.jsonl: can't be read"),
    ],
)
def test_what_the_caller_got_wrong(calculator: Calculator, arguments: tuple[str, ...], said: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not calculator.requests


def test_import_and_leakage(calculator: Calculator) -> None:
    Path("source.jsonl").write_text(json.dumps({"question": "7", "answer": "#### 7"}))
    assert invoke("import", "gsm8k", "source.jsonl", "--name", "mine").exit_code == 0
    found = invoke("leakage", "suite.yaml", "--against", "mine.yaml")
    assert found.exit_code == 1
    assert "t7: the same as 1" in found.output
    assert invoke("leakage", "mine.yaml", "--against", "mine.yaml").exit_code == 1
