"""The main job as a caller sees it: real vLLM, the starter models, the stock client, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from benchmarks.starter.appliance_process import RunningAppliance, running_appliance
from benchmarks.starter.suite import Problem, load
from tests.e2e.readme_blocks import blocks

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "starter.yaml"
VERDICTS = ROOT / "benchmarks" / "suites" / "starter-verdicts.jsonl"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAppliance]:
    """The starter pool, up once for this module; afterwards none of its processes may live."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPLIANCE_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.chdir(ROOT)
        with running_appliance(CONFIG) as running:
            family = psutil.Process(running.process.pid).children(recursive=True)
            yield running
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive, f"left behind: {alive}"


@pytest.fixture
def client(appliance: RunningAppliance) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{appliance.url}/v1", api_key=appliance.api_key, max_retries=0) as client:
        yield client


def orchestrated(number: int = 6) -> list[Problem]:
    """Held-out problems of three and more steps."""
    return [problem for problem in load() if problem.steps >= 3 and problem.wording == "seen"][:number]


def direct() -> Problem:
    return next(problem for problem in load() if problem.steps == 0)


def ask(client: openai.OpenAI, question: str, model: str = "auto", **params: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **params)


def trace_of(appliance: RunningAppliance, trace_id: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{appliance.url}/v1/traces/{trace_id}")
    request.add_header("Authorization", f"Bearer {appliance.api_key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        document = json.loads(answer.read())
    assert isinstance(document, dict)
    return document


def test_hard_questions_are_planned_executed_and_verified_by_several_models(
    appliance: RunningAppliance, client: openai.OpenAI
) -> None:
    right = 0
    for problem in orchestrated():
        response = ask(client, problem.question)
        about = response.model_extra["appliance"]
        trace = trace_of(appliance, about["trace_id"])
        assert about["strategy"] == "plan_execute_verify"
        assert {"planner", "executor", "verifier"} <= {call["role"] for call in trace["calls"]}
        assert len({call["model_id"] for call in trace["calls"]}) >= 3
        assert trace["fallbacks"] == []
        assert response.usage.completion_tokens == sum(c["usage"]["completion_tokens"] for c in trace["calls"])
        assert response.usage.prompt_tokens == sum(c["usage"]["prompt_tokens"] for c in trace["calls"])
        right += response.choices[0].message.content == problem.answer
    assert right >= 5, f"{right} of 6 right"


def test_easy_question_is_one_call(client: openai.OpenAI) -> None:
    problem = direct()
    response = ask(client, problem.question)
    assert response.choices[0].message.content == problem.answer
    assert response.model_extra["appliance"]["strategy"] == "direct"
    assert response.model_extra["appliance"]["calls"] == 1


def test_stream_tells_progress_then_the_answer_then_usage(client: openai.OpenAI) -> None:
    problem = orchestrated()[0]
    content, reasoning, usage = "", "", None
    whole = ask(client, problem.question)
    for chunk in ask(client, problem.question, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += (choice.delta.model_extra or {}).get("reasoning_content") or ""
    assert content == whole.choices[0].message.content
    assert "starter-planner" in reasoning
    assert usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_named_model_passes_through(client: openai.OpenAI) -> None:
    response = ask(client, "347*8", model="starter-math", temperature=0)
    assert response.choices[0].message.content.rsplit(";", 1)[-1] == "2776"
    names = {model.id for model in client.models.list()}
    assert names == {
        "auto",
        "starter-planner",
        "starter-math",
        "starter-text",
        "starter-verifier",
        "starter-generalist",
    }


def test_too_long_prompt_unknown_model_and_no_key_are_refused_clearly(
    appliance: RunningAppliance, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError, match="context"):
        ask(client, "12 + 5 = " * 2000, model="starter-generalist")
    with pytest.raises(openai.NotFoundError, match="starter-math"):
        ask(client, "hello", model="gpt-4o")
    with (
        openai.OpenAI(base_url=f"{appliance.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(stranger, "hello")


def test_what_the_readme_shows_works(appliance: RunningAppliance) -> None:
    data_dir = os.environ["APPLIANCE_DATA_DIR"]

    def here(block: str) -> str:
        return block.replace("http://127.0.0.1:8000", appliance.url).replace("var/starter", data_dir)

    shells = [here(block) for block in blocks("Call it", "sh")]
    scripts = [here(block) for block in blocks("Call it", "python")]
    assert len(shells) == 2
    assert len(scripts) == 1
    curl = shell(["bash", "-euo", "pipefail", "-c", shells[0]])
    assert json.loads(curl)["choices"][0]["message"]["content"] == "569"
    assert shell([sys.executable, "-c", scripts[0]]).split() == ["AXEQ", "AXEQ"]
    told = shell(["bash", "-euo", "pipefail", "-c", shells[1]])
    assert "plan_execute_verify" in told
    assert "5 of 5 engines ready" in told


@pytest.mark.usefixtures("appliance")
def test_command_line_shows_answer_tree_and_engines() -> None:
    problem = orchestrated()[0]
    asked = run("ask", problem.question, "--trace")
    assert "plan_execute_verify" in asked
    assert "starter-verifier" in asked
    status = run("status")
    assert status.count("ready") >= 5


@pytest.mark.usefixtures("appliance")
def test_the_verifier_is_calibrated_on_labelled_results(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in VERDICTS.read_text().splitlines()]
    math = [line for line in lines if line["skill"] == "math"]
    few = [line for right in (True, False) for line in [x for x in math if x["right"] is right][:25]]
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in few))
    shown = run("eval", "calibrate", "--set", str(file), "--target-false-accept", "0.25", "--json")
    (figures,) = json.loads(shown)
    assert (figures["verifier"], figures["task_class"], figures["samples"]) == ("starter-verifier", "math", 50)
    assert figures["chosen"]["false_accepts"]["interval_95"][1] <= 0.25
    assert figures["chosen"]["false_rejects"]["share"] <= 0.2
    assert (Path(os.environ["APPLIANCE_DATA_DIR"]) / "verifier-calibrations.json").exists()


def run(*arguments: str) -> str:
    """The command line, which finds the appliance through its data directory."""
    return shell([sys.executable, "-m", "appliance", *arguments])


def shell(command: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout
