"""What the ledger charges is what real vLLM counted, token by token."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from benchmarks.starter.appliance_process import RunningAppliance, running_appliance
from benchmarks.starter.suite import load

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "starter.yaml"

pytestmark = pytest.mark.e2e


@pytest.fixture
def appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAppliance]:
    monkeypatch.setenv("APPLIANCE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(ROOT)
    with running_appliance(_without_probes(tmp_path)) as running:
        yield running


def _without_probes(directory: Path) -> Path:
    """Probes make tokens that no request asked for."""
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    settings.setdefault("engines", {})["probe_every_s"] = 3_600
    for name in ("catalog", "store"):
        settings["models"][name] = str((CONFIG.parent / settings["models"][name]).resolve())
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def _get(url: str, api_key: str = "") -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {api_key}"} if api_key else {})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return str(reply.read().decode())


def _counted(appliance: RunningAppliance) -> Counter[tuple[str, str]]:
    """(model, kind) → tokens, by the engines' own counters."""
    counted: Counter[tuple[str, str]] = Counter()
    for engine in json.loads(_get(f"{appliance.url}/fleet", appliance.api_key))["engines"]:
        text = _get(f"{engine['base_url']}/metrics")
        for kind in ("prompt", "generation"):
            for value in re.findall(rf"^vllm:{kind}_tokens_total\{{[^}}]*\}} ([0-9.e+]+)$", text, re.MULTILINE):
                counted[engine["model_id"], kind] += int(float(value))
    return counted


def _charged(appliance: RunningAppliance) -> tuple[Counter[tuple[str, str]], int]:
    """The same by the ledger, and the calls whose tokens are an estimate."""
    lines = json.loads(_get(f"{appliance.url}/v1/usage?by=model", appliance.api_key))["data"]
    charged: Counter[tuple[str, str]] = Counter()
    for line in lines:
        charged[line["group"]["model"], "prompt"] += line["prompt_tokens"]
        charged[line["group"]["model"], "generation"] += line["completion_tokens"]
    return charged, sum(line["estimated_calls"] for line in lines)


def _ask(client: openai.OpenAI, model: str, question: str, stream: bool) -> None:
    said: list[Any] = [{"role": "user", "content": question}]
    if stream:
        for _ in client.chat.completions.create(model=model, messages=said, stream=True, max_tokens=32):
            pass
    else:
        client.chat.completions.create(model=model, messages=said, max_tokens=32)


def test_the_sum_over_all_calls_is_what_vllm_counted(appliance: RunningAppliance) -> None:
    questions = [problem.question for problem in load() if problem.steps in (0, 3)][:3]
    before = _counted(appliance)
    with openai.OpenAI(base_url=f"{appliance.url}/v1", api_key=appliance.api_key, max_retries=0) as client:
        for model in ("auto", "starter-generalist", "starter-math"):
            for question in questions:
                for stream in (False, True):
                    _ask(client, model, question, stream)
    charged, estimated = _charged(appliance)
    counted = _counted(appliance)
    counted.subtract(before)
    assert estimated == 0
    assert sum(charged.values()) > 500
    assert +charged == +counted
