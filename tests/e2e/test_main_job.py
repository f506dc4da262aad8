"""The main job as a caller sees it: real vLLM, the starter models, the stock client, the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
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

SMALL_TALK = "Thank you. Tell me what you are. How are you today? Many thanks. " * 2
CONVERSATION_TURNS = 7
GRAPH = ("task_id", "skill", "needs", "instruction", "result", "attempts", "accepted_attempt")

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
    return read(f"{appliance.url}/v1/traces/{trace_id}", appliance.api_key)


def read(url: str, api_key: str) -> dict[str, Any]:
    request = urllib.request.Request(url)
    request.add_header("Authorization", f"Bearer {api_key}")
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


def test_a_seed_and_temperature_0_give_the_same_graph_and_the_same_answer(
    appliance: RunningAppliance, client: openai.OpenAI
) -> None:
    for problem in orchestrated(4):
        answers, graphs = set(), []
        for _ in range(2):
            response = ask(client, problem.question, seed=7, temperature=0)
            trace = trace_of(appliance, response.model_extra["appliance"]["trace_id"])
            answers.add(response.choices[0].message.content)
            graphs.append([{name: task[name] for name in GRAPH} for task in trace["tasks"]])
        assert len(answers) == 1
        assert graphs[0] == graphs[1]


def test_turns_of_a_conversation_share_the_prefix_cache(appliance: RunningAppliance, client: openai.OpenAI) -> None:
    """Of the full blocks that a turn's prompt has in common with the one before, at least 85% come from the cache."""
    engine, key = engine_of(appliance, "starter-generalist")
    block = int(metric(engine, "vllm:cache_config_info", "block_size"))
    messages: list[Any] = []
    before: list[int] = []
    shareable, hits = 0, cached_tokens(engine)
    for _ in range(CONVERSATION_TURNS):
        messages.append({"role": "user", "content": SMALL_TALK})
        response = client.chat.completions.create(model="auto", messages=messages, max_tokens=12)
        assert response.model_extra is not None
        assert response.model_extra["appliance"]["strategy"] == "direct"
        prompt = tokens(engine, key, messages)
        common = next((n for n, (a, b) in enumerate(zip(before, prompt, strict=False)) if a != b), len(before))
        shareable += common // block * block
        before = prompt
        messages.append({"role": "assistant", "content": response.choices[0].message.content})
    hits = cached_tokens(engine) - hits
    print(f"prefix cache: {hits} of {shareable} shareable tokens hit, blocks of {block}")
    assert shareable >= 5 * block
    assert hits >= 0.85 * shareable


def test_engines_answer_nobody_without_their_key(appliance: RunningAppliance) -> None:
    """vLLM itself asks for it below /v1 only, and its /invocations answer chats."""
    engine, _ = engine_of(appliance, "starter-generalist")
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}], "prompt": "hello"}).encode()
    for path in ("/invocations", "/tokenize", "/v1/chat/completions", "/v1/models", "/version"):
        request = urllib.request.Request(f"{engine}{path}", body, {"content-type": "application/json"})
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=10)


@pytest.mark.usefixtures("appliance")
def test_command_line_shows_answer_tree_and_engines() -> None:
    problem = orchestrated()[0]
    asked = run("ask", problem.question, "--effort", "high", "--trace")
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


def engine_of(appliance: RunningAppliance, model_id: str) -> tuple[str, str]:
    """Address of the model's only engine, and its key, which it tells to nobody."""
    engines = read(f"{appliance.url}/fleet", appliance.api_key)["engines"]
    engine = next(engine for engine in engines if engine["model_id"] == model_id)
    return str(engine["base_url"]), psutil.Process(engine["pid"]).environ()["VLLM_API_KEY"]


def tokens(engine: str, key: str, messages: list[Any]) -> list[int]:
    """The prompt as the engine sees it."""
    body = json.dumps({"messages": messages, "add_generation_prompt": True}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{engine}/tokenize", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return list(json.loads(answer.read())["tokens"])


def cached_tokens(engine: str) -> int:
    """vLLM's own count of prompt tokens that came from the prefix cache."""
    return int(float(metric(engine, "vllm:prefix_cache_hits_total")))


def metric(engine: str, name: str, label: str = "") -> str:
    """The value of a metric, or of one of its labels."""
    with urllib.request.urlopen(f"{engine}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    line = next(line for line in text.splitlines() if line.startswith(f"{name}{{"))
    if not label:
        return str(line.rsplit(" ", 1)[1])
    found = re.search(rf'{label}="([^"]*)"', line)
    assert found is not None
    return str(found[1])
