"""`appliance models onboard`: taken in where the gate opens, everything as before where it does not."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from appliance.bootstrap.learned_head import heads_directory
from appliance.bootstrap.measured_skills import measured_skills_file
from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.router_heads import HeadFiles
from appliance.bootstrap.verifier_calibrations import verifier_calibrations_file
from appliance.cli.main import app
from appliance.config import load
from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Origin
from appliance.domain.tenant import Tenant
from tests.cli.pool import MODELS, Pool, make_pool
from tests.fakes.fake_coordinator import FakeCoordinator, finished
from tests.fakes.traces import repaired_trace
from tests.gateway.door import KEY, House, served
from tests.learning.pool import examples

RIGHT, WRONG = 40, 40


@dataclass(slots=True)
class NewPool(FakeCoordinator):
    """Its executor is right on 3 of 4 steps; the team is for questions with steps, one call for the others.

    `lost`: whichever way is chosen, every second question goes wrong, so there is nothing to learn.
    """

    house: House | None = None
    lost: bool = False

    async def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin
    ) -> AsyncGenerator[AnswerEvent, None]:
        """An executor's result, a verifier's verdict, or an answer."""
        text = request.messages[-1].content
        assert self.house is not None
        self.house.traces.traces.append(repaired_trace(trace_id))
        if request.model == "fake-math":
            number = int(text.partition("+")[0])
            yield ContentDelta(f"so;{number + 1 + (number % 4 == 0)}")
        elif request.model == "fake-verifier":
            good = text.endswith(f" = {int(text.partition('+')[0]) + 1}")
            word, odds = ("pass", 0.97) if good else ("fail", 0.99)
            entry = {"token": word, "logprob": math.log(odds), "bytes": None, "top_logprobs": []}
            yield ContentDelta(word, raw_logprobs={"content": [{**entry, "top_logprobs": [entry]}]})
        else:
            steps = "How many" in text
            fits = request.strategy == ("plan_execute_verify" if steps else "direct")
            yield ContentDelta("x" if (len(text) % 2 if self.lost else fits) else "y")
        yield finished(trace_id)


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewPool]:
    """A door at which it answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    made = NewPool()
    made.house = House(made, served=MODELS)
    with served(made.house.app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        yield made


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


def write_suite(name: str, seed: int) -> None:
    made = examples(104, seed=seed)
    rows = [{"id": i.task_id, "class": i.task_class, "question": i.text, "answer": "x"} for i in made.items]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path(f"{name}.yaml").write_text(f"name: {name}\nitems: {name}.jsonl\ngrader: {{type: exact}}\n")


def onboard(pool: Pool, model: str = "fake-math", *further: str) -> Result:
    lines = [{"skill": "math", "instruction": f"{n}+1", "result": str(n + 1), "right": True} for n in range(RIGHT)]
    lines += [{"skill": "math", "instruction": f"{n}+1", "result": str(n + 9), "right": False} for n in range(WRONG)]
    Path("set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_suite("training", 1)
    write_suite("held-out", 2)
    command = ["models", "onboard", model, "--set", "set.jsonl", "--suite", "training.yaml"]
    command += ["--held-out-suite", "held-out.yaml", "--strategies", "direct,plan_execute_verify", "--generations", "0"]
    command += ["--target-false-accept", "0.1"]
    return CliRunner().invoke(app, [*command, "--config", str(pool.config), *further], catch_exceptions=False)


def test_it_is_taken_in(coordinator: NewPool, pool: Pool) -> None:
    settings = load(pool.config, {})
    assert pool_models(settings)["fake-math"].skills == {"math": 0.9}
    done = onboard(pool)
    assert done.exit_code == 0, done.output
    assert "fake-math, math: 75.0% of 40" in done.stdout
    assert "before: 90.0%" in done.stdout
    assert "gate: promoted" in done.stdout
    assert "fake-math is taken in" in done.stdout
    assert pool_models(settings)["fake-math"].skills == {"math": 0.75}
    shown = CliRunner().invoke(app, ["models", "show", "fake-math", "--config", str(pool.config)]).stdout
    assert "math 0.75" in shown
    assert verifier_calibrations_file(settings.data_dir).exists()
    standing = HeadFiles(heads_directory(settings)).standing()
    assert standing.promoted is not None
    assert standing.promoted == standing.candidate
    manifest = pool.directory / "catalog" / "fake-math.yaml"
    manifest.write_text(manifest.read_text().replace("revision: ", "revision: new"))
    assert pool_models(settings)["fake-math"].skills == {"math": 0.9}, "it was measured with other weights"


def test_on_refusal_everything_is_as_before(coordinator: NewPool, pool: Pool) -> None:
    settings = load(pool.config, {})
    files = measured_skills_file(settings.data_dir), verifier_calibrations_file(settings.data_dir)
    settings.data_dir.mkdir()
    files[1].write_text("[]")
    coordinator.lost = True
    done = onboard(pool)
    assert done.exit_code == 1
    assert "gate: refused" in done.stdout
    assert "fake-math is not taken in" in done.stderr
    assert not files[0].exists()
    assert files[1].read_text() == "[]"
    standing = HeadFiles(heads_directory(settings)).standing()
    assert standing.promoted is None
    assert standing.candidate is not None
    assert pool_models(settings)["fake-math"].skills == {"math": 0.9}


def test_one_that_is_stopped_leaves_nothing(coordinator: NewPool, pool: Pool) -> None:
    stopped = onboard(pool, "fake-math", "--strategies", "direct,unknown/strategy")
    assert stopped.exit_code == 2
    assert "75.0%" in stopped.stdout
    assert not measured_skills_file(pool.data_dir).exists()
    assert not verifier_calibrations_file(pool.data_dir).exists()


def test_a_model_that_is_not_in_the_pool(coordinator: NewPool, pool: Pool) -> None:
    done = onboard(pool, "other")
    assert done.exit_code == 2
    assert "other is not in the pool" in done.stderr
    assert not coordinator.requests


def test_a_model_that_the_running_appliance_does_not_serve(coordinator: NewPool, pool: Pool) -> None:
    pool.settings["pool"].append({**pool.settings["pool"][0], "model": "fake-new"})
    pool.settings["roles"]["executors"]["math"] = ["fake-new"]
    manifest = (pool.directory / "catalog" / "fake-math.yaml").read_text()
    (pool.directory / "catalog" / "fake-new.yaml").write_text(manifest.replace("id: fake-math", "id: fake-new"))
    pool.write()
    done = onboard(pool, "fake-new")
    assert done.exit_code == 2
    assert "does not serve fake-new; start it anew" in done.stderr
