"""`appliance router`: from a run file to a head that decides, and back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from appliance.bootstrap.learned_head import learned_chooser
from appliance.bootstrap.pool import pool_models
from appliance.cli.main import app
from appliance.config import Settings, load
from appliance.domain.request import AnswerEvent, ChatRequest, ContentDelta, Origin
from appliance.domain.tenant import Tenant
from appliance.errors import ConfigError
from appliance.evaluation.run_file import Header, RunFile
from appliance.evaluation.suite import load_suite
from appliance.learning.examples import Examples
from tests.cli.pool import Pool, make_pool
from tests.evaluation.attempts import attempt
from tests.fakes.fake_coordinator import FakeCoordinator, finished
from tests.fakes.pooled import DIMENSIONS, pooled
from tests.gateway.door import KEY, House, served
from tests.learning.pool import ARMS, examples


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.chdir(tmp_path)
    return make_pool(tmp_path)


def logged(name: str, made: Examples) -> tuple[str, str]:
    """A suite and a run of it, as `appliance eval run` would leave them: (run, suite)."""
    rows = [{"id": i.task_id, "class": i.task_class, "question": i.text, "answer": "x"} for i in made.items]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path(f"{name}.yaml").write_text(f"name: {name}\nitems: {name}.jsonl\ngrader: {{type: exact}}\n")
    suite = load_suite(Path(f"{name}.yaml"))
    with RunFile(Path(f"{name}.run"), Header(name, suite.digest, ARMS, 1, 0)) as file:
        for item in made.items:
            for arm, outcome in item.outcomes.items():
                file.append(attempt(arm, item.task_id, outcome.quality, outcome.gpu_s, task_class=item.task_class))
    return f"{name}.run", f"{name}.yaml"


def router(pool: Pool, *arguments: str) -> Result:
    command = ["router", *arguments, "--config", str(pool.config)]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def trained(pool: Pool, *, shuffled: bool = False) -> Result:
    run, suite = logged("train", examples(400, seed=1, shuffled=shuffled))
    held_run, held_suite = logged("held", examples(300, seed=2))
    options = ("--held-out-run", held_run, "--held-out-suite", held_suite, "--generations", "2")
    return router(pool, "train", "--from", run, "--suite", suite, *options)


def chooser_strategy(settings: Settings) -> str:
    found = learned_chooser(settings, pool_models(settings))
    if found is None:
        return "nobody"
    choice = found.choose("What is another word for apples, Ben?", ("direct", "plan_execute_verify"))
    assert choice is not None
    return f"{choice.strategy}{' on paper' if choice.shadow else ''}"


def test_train_promote_explain_and_roll_back(pool: Pool) -> None:
    settings = load(pool.config)
    assert "no head was trained yet" in router(pool, "status").output
    done = trained(pool)
    assert done.exit_code == 0, done.output
    assert "gate: promoted" in done.output
    assert chooser_strategy(settings) == "nobody"
    assert router(pool, "promote").exit_code == 0
    assert chooser_strategy(settings) == "direct"
    status = json.loads(router(pool, "status", "--json").stdout)
    assert status["promoted"] == status["candidate"]
    assert status["gates"]["promoted"]["answer"] == "promoted"
    explained = router(
        pool, "explain", "Anna has 12 coins, then adds 40, then sells 4. How many coins are there?"
    ).output
    assert explained.startswith("auto:plan_execute_verify: ")
    assert "for auto:plan_execute_verify against auto:direct" in explained
    assert "no head decides any more" in router(pool, "rollback").output
    assert chooser_strategy(settings) == "nobody"


def test_a_head_that_learned_nothing_decides_nothing(pool: Pool) -> None:
    done = trained(pool, shuffled=True)
    assert done.exit_code == 1
    assert "gate: refused" in done.output
    refused = router(pool, "promote")
    assert refused.exit_code == 2
    assert "the gate did not open for it" in refused.output
    assert chooser_strategy(load(pool.config)) == "nobody"


def test_shadow_and_off_and_another_pool(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    assert trained(pool).exit_code == 0
    pool.settings["coordinator"]["learned"] = {"use": "shadow"}
    pool.write()
    assert chooser_strategy(load(pool.config)) == "direct on paper"
    pool.settings["coordinator"]["learned"] = {"use": "promoted"}
    pool.write()
    assert router(pool, "promote").exit_code == 0
    manifest = pool.directory / "catalog" / "fake-math.yaml"
    manifest.write_text(manifest.read_text().replace("revision: ", "revision: new"))
    assert chooser_strategy(load(pool.config)) == "nobody"
    assert "made for another pool" in caplog.text
    done = router(pool, "promote")
    assert done.exit_code == 2
    assert "was made for another pool" in done.output


class Embedder(FakeCoordinator):
    """Embeds each text as a fake engine does."""

    async def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant, origin: Origin
    ) -> AsyncGenerator[AnswerEvent, None]:
        """One document, as vLLM gives it."""
        self.requests.append(request)
        document = pooled("/v1/embeddings", {"model": request.model, **request.inputs}, 512)
        yield ContentDelta("", raw_event=document)
        yield finished(trace_id)


def with_embedder(pool: Pool) -> None:
    """A model that embeds joins the pool, and heads are to take its embeddings."""
    catalog = pool.directory / "catalog"
    manifest = yaml.safe_load((catalog / "fake-math.yaml").read_text())
    for name in ("roles", "skills", "prompt_set"):
        del manifest[name]
    (catalog / "fake-embedder.yaml").write_text(yaml.safe_dump({**manifest, "id": "fake-embedder", "task": "embed"}))
    pool.settings["pool"].append({**pool.settings["pool"][0], "model": "fake-embedder"})
    pool.settings["coordinator"]["learned"] = {"embedder": "fake-embedder"}
    pool.write()


def test_a_head_that_takes_embeddings_holds_for_their_model_only(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_embedder(pool)
    coordinator = Embedder()
    with served(House(coordinator).app) as url:
        monkeypatch.setenv("APPLIANCE_URL", url)
        monkeypatch.setenv("APPLIANCE_API_KEY", KEY)
        assert trained(pool).exit_code == 0
        assert router(pool, "explain", "What is meant?").exit_code == 0
    assert sum(len(request.inputs["input"]) for request in coordinator.requests) == 400 + 300 + 1
    assert len(coordinator.requests) < 30
    assert router(pool, "promote").exit_code == 0
    found = learned_chooser(load(pool.config), pool_models(load(pool.config)))
    assert found is not None
    assert found.embedder == "fake-embedder"
    assert found.choose("What is meant?", ("direct",)) is None
    assert found.choose("What is meant?", ("direct",), [0.1] * DIMENSIONS) is not None
    pool.settings["coordinator"]["learned"] = {}
    pool.write()
    assert chooser_strategy(load(pool.config)) == "nobody"
    assert "made for another embedder (fake-embedder)" in caplog.text
    assert "made for another embedder (fake-embedder)" in router(pool, "promote").output


def test_an_embedder_must_embed_and_be_there(pool: Pool) -> None:
    pool.settings["coordinator"]["learned"] = {"embedder": "fake-math"}
    pool.write()
    with pytest.raises(ConfigError, match=r"learned\.embedder: fake-math does not embed but generate"):
        learned_chooser(load(pool.config), pool_models(load(pool.config)))
    pool.settings["coordinator"]["learned"] = {"embedder": "other"}
    pool.write()
    with pytest.raises(ConfigError, match=r"coordinator\.learned\.embedder: other is not in the pool"):
        load(pool.config)


def test_one_run_is_split(pool: Pool) -> None:
    run, suite = logged("train", examples(600, seed=1))
    done = router(pool, "train", "--from", run, "--suite", suite, "--json", "--generations", "0")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["notes"] == ["no held-out run was given: of each class 30% of the tasks are held out"]
    assert {c["what"] for c in document["gate"]["comparisons"]} == {"steps", "words", "reward"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("train", "--from", "none.run", "--suite", "none.yaml"),
            "none.yaml: no such file; name the YAML file of a suite",
        ),
        (("promote",), "no head was trained yet"),
        (("rollback",), "nothing to roll back"),
        (("explain", "hello", "--head", "abc"), "is no head that can be used"),
    ],
)
def test_what_cant_be_done(pool: Pool, arguments: tuple[str, ...], said: str) -> None:
    done = router(pool, *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_runs_of_other_targets_are_refused(pool: Pool) -> None:
    run, suite = logged("train", examples(40, seed=1))
    other = Path("other.run")
    lines = Path(run).read_text().splitlines(keepends=True)
    other.write_text(lines[0].replace(ARMS[1], "auto:cascade") + "".join(lines[1:]).replace(ARMS[1], "auto:cascade"))
    done = router(
        pool, "train", "--from", run, "--suite", suite, "--held-out-run", "other.run", "--held-out-suite", suite
    )
    assert done.exit_code == 2
    assert "not those of train.run" in done.output
