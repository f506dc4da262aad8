"""`appliance eval calibrate` through the public door, and its thresholds at the appliance's next start."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.verifier_calibrations import (
    measured_thresholds,
    read_verifier_calibrations,
    verifier_calibrations_file,
)
from appliance.cli.main import app
from appliance.config import load
from appliance.coordinator.prompts import load_prompt_sets
from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Origin
from appliance.domain.tenant import Tenant
from appliance.errors import ConfigError
from tests.cli.pool import Pool, make_pool
from tests.fakes.fake_coordinator import FakeCoordinator, finished
from tests.gateway.door import KEY, House, served


@dataclass(slots=True)
class Verifier(FakeCoordinator):
    """Its probability of `pass` is the claimed result, in percent."""

    async def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin
    ) -> AsyncGenerator[AnswerEvent, None]:
        """A verdict as vLLM gives it."""
        self.requests.append(request)
        percent = int(request.messages[-1].content.rpartition(" = ")[2])
        word = "pass" if percent >= 50 else "fail"
        yield ContentDelta("again;", raw_logprobs={"content": [entry("again;", 1.0)]})
        odds = {"pass": percent / 100, "fail": 1 - percent / 100}
        verdict = entry(word, odds[word]) | {"top_logprobs": [entry(text, p) for text, p in odds.items()]}
        yield ContentDelta(word, raw_logprobs={"content": [verdict]})
        yield finished(trace_id)


def entry(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(max(probability, 1e-9)), "bytes": None, "top_logprobs": []}


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A configuration, and a door at which its verifier answers."""
    monkeypatch.setenv("COLUMNS", "200")
    with served(House(Verifier()).app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        yield make_pool(tmp_path)


def labelled(pool: Pool, *groups: tuple[int, int, bool]) -> Path:
    """So many results of a percentage, right or wrong."""
    file = pool.directory / "set.jsonl"
    lines = [
        {"skill": "math", "instruction": "1+1", "result": str(percent), "right": right}
        for count, percent, right in groups
        for _ in range(count)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def calibrate(pool: Pool, file: Path, *arguments: str) -> Result:
    command = ["eval", "calibrate", "--config", str(pool.config), "--set", str(file), *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def counting(pool: Pool) -> dict[tuple[str, str], float]:
    """The thresholds at the next start."""
    settings = load(pool.config, {})
    models = pool_models(settings)
    sets = load_prompt_sets(model.prompt_set for model in models.values())
    return dict(
        measured_thresholds(settings.data_dir, models, {name: sets[model.prompt_set] for name, model in models.items()})
    )


def test_figures_are_printed_and_the_threshold_counts_from_the_next_start_on(pool: Pool) -> None:
    assert counting(pool) == {}
    result = calibrate(
        pool, labelled(pool, (30, 90, True), (38, 10, False), (2, 60, False)), "--target-false-accept", "0.1"
    )
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[1].startswith("fake-verifier math 30 40 0.500 5.00% (1.38%–16.50%) 0.00% (0.00%–11.35%) ")
    assert lines[2] == "calibrated 0.750 0.00% (0.00%–8.76%) 0.00% (0.00%–11.35%)"
    assert counting(pool) == {("fake-verifier", "math"): pytest.approx(0.75)}
    (kept,) = read_verifier_calibrations(verifier_calibrations_file(pool.data_dir))
    assert kept.calibration.before.threshold == 0.5
    assert kept.revision == "1" * 40


def test_json_has_the_same_figures(pool: Pool) -> None:
    result = calibrate(pool, labelled(pool, (20, 90, True), (200, 10, False)), "--json")
    (document,) = json.loads(result.stdout)
    assert (document["verifier"], document["task_class"], document["samples"]) == ("fake-verifier", "math", 220)
    assert document["chosen"]["false_accepts"] == {
        "count": 0,
        "of": 200,
        "share": 0.0,
        "interval_95": [0.0, pytest.approx(0.0188, abs=1e-4)],
    }


def test_too_few_results_leave_the_verifier_uncalibrated(pool: Pool) -> None:
    result = calibrate(pool, labelled(pool, (30, 90, True), (30, 10, False)))
    assert result.exit_code == 1
    told = "fake-verifier, math: too few wrong results: 30, at least 189 are needed for 2.0%"
    assert told in result.stdout
    assert "the verifiers stay uncalibrated" in result.stderr
    assert counting(pool) == {}


def test_a_calibration_of_another_revision_is_ignored_with_a_note(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    calibrate(pool, labelled(pool, (30, 90, True), (200, 10, False)))
    assert counting(pool)
    manifest = pool.directory / "catalog" / "fake-verifier.yaml"
    manifest.write_text(manifest.read_text().replace("1" * 40, "2" * 40))
    with caplog.at_level(logging.WARNING):
        assert counting(pool) == {}
    assert "fake-verifier, math: calibrated with another revision; calibrate again" in caplog.text


def test_a_file_that_can_not_be_read_is_named(pool: Pool) -> None:
    file = verifier_calibrations_file(pool.data_dir)
    file.parent.mkdir()
    file.write_text("[{")
    with pytest.raises(ConfigError, match=r"verifier-calibrations\.json: the verifiers' calibrations can't be read"):
        counting(pool)


def test_without_a_verifier_there_is_nothing_to_calibrate(pool: Pool) -> None:
    pool.settings["roles"]["verifier"] = []
    pool.write()
    result = calibrate(pool, labelled(pool, (1, 90, True)))
    assert result.exit_code == 2
    assert "roles.verifier names no model" in result.stderr
