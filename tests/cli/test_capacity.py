"""`appliance capacity profile` against a simulated pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner, Result

from appliance.capacity.engine_profile import Source
from appliance.capacity.profile_file import load_profile
from appliance.capacity.profiling import Profiler
from appliance.cli import capacity
from appliance.cli.main import app
from appliance.domain.trace import Trace
from appliance.errors import NotFound
from appliance.evaluation.attempt import Attempt
from appliance.evaluation.run_file import Header, RunFile
from tests.capacity.profiles import engine
from tests.capacity.test_profiling import Pool
from tests.fakes.traces import repaired_trace

MODELS = ("starter-planner", "starter-math", "starter-text", "starter-verifier", "starter-generalist")
_TRACE = TypeAdapter(Trace)


@dataclass
class Door:
    """An appliance as the command line sees it."""

    fleet: list[dict[str, Any]]
    traces: Mapping[str, Trace]
    url: str = "http://127.0.0.1:1"
    api_key: str | None = None
    certificate: Path | None = None
    asked: list[str] = field(default_factory=list)
    server_cpu_s: Mapping[str, float] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path == "/fleet":
            return {
                "engines": [each | {"server_cpu_s": self.server_cpu_s.get(each["model_id"])} for each in self.fleet]
            }
        assert path.startswith("/v1/traces?outcome=ok")
        first, second = list(self.traces)[:1], list(self.traces)[1:]
        page = second if "cursor" in path else first
        return {"data": [{"trace_id": n} for n in page], "has_more": page == first and bool(second), "next_cursor": "c"}

    def read(self, path: str) -> bytes:
        trace = self.traces.get(path.removeprefix("/v1/traces/"))
        if trace is None:
            raise NotFound("no such trace")
        return _TRACE.dump_json(trace)


def shown(model: str, **changes: Any) -> dict[str, Any]:
    facts = {"engine_id": f"{model}-0", "model_id": model, "state": "ready", "gpu_ids": [], "kv_tokens": 20_000}
    return facts | {"max_num_seqs": 16, "max_model_len": 768} | changes


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    traces = {"a" * 32: repaired_trace("a" * 32), "b" * 32: repaired_trace("b" * 32)}
    found = Door([shown(model) for model in MODELS], traces)
    costs = {"call_s": 0.004, "server_token_s": 0.0004, "device_share": 0.6, "server_share": 0.6, "max_num_seqs": 16}
    pool = Pool([engine(model, **costs) for model in MODELS], server_cpu_s=dict.fromkeys(MODELS, 3.0))
    found.server_cpu_s = pool.server_cpu_s
    monkeypatch.setattr(capacity, "_PERIODS", 0.0)
    monkeypatch.setattr(capacity, "locate", lambda *_: found)
    monkeypatch.setattr(capacity, "Profiler", partial(Profiler, put_on=pool))
    return found


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["capacity", "profile", *arguments])


def test_a_profile_is_measured_told_and_written(door: Door, tmp_path: Path) -> None:
    out = tmp_path / "p.json"

    result = invoke("--out", str(out), "--loads", "8", "--repeats", "1")

    assert result.exit_code == 0, result.output
    found = load_profile(out)
    assert {each.model_id for each in found.engines} == set(MODELS)
    assert {each.source for each in found.engines} == {Source.MEASURED}
    assert [each.device_share for each in found.engines] == pytest.approx([0.6] * 5, rel=0.1)
    assert [each.server_token_s for each in found.engines] == pytest.approx([0.0004] * 5)
    assert found.engine("starter-math").block_size == 128  # vLLM's on a processor
    assert len(found.trees_of("plan_execute_verify")) == 2  # of two pages of traces
    assert "starter-math (cpu × 1, measured ±" in result.output
    assert "2 requests of the class plan_execute_verify, with 8.0 calls on average" in result.output


def test_only_some_models(door: Door, tmp_path: Path) -> None:
    out = tmp_path / "p.json"

    result = invoke("--out", str(out), "--loads", "8", "--repeats", "1", "--model", "starter-math")

    assert result.exit_code == 0, result.output
    assert [each.model_id for each in load_profile(out).engines] == ["starter-math"]
    assert load_profile(out).trees == {}  # those of the traces call others, too


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        ({}, ("--model", "gpt-9"), "--model gpt-9: not in the pool of "),
        ({"state": "failed"}, (), "no engine of starter-planner is ready; see `appliance status`"),
        ({"kv_tokens": None}, (), "starter-planner-0: its KV cache is not known yet; try again"),
    ],
)
def test_what_can_not_be_profiled(door: Door, change: dict[str, Any], arguments: tuple[str, ...], says: str) -> None:
    door.fleet[0] |= change

    result = invoke(*arguments)

    assert result.exit_code in {1, 2}
    assert says in result.output


def test_traces_of_another_pool_are_refused_before_anything_is_measured(door: Door, tmp_path: Path) -> None:
    trace = repaired_trace("a" * 32)
    strange = replace(trace, calls=(replace(trace.calls[0], model_id="other"), *trace.calls[1:]))
    door.traces = {"a" * 32: strange}

    result = invoke("--out", str(tmp_path / "p.json"))

    assert result.exit_code == 2
    assert "these are traces of another pool: they call other; take fewer" in result.output
    assert not (tmp_path / "p.json").exists()


def test_trees_of_an_evaluation_run(door: Door, tmp_path: Path) -> None:
    def run_of(trace_id: str) -> str:
        attempt = Attempt("auto", "t1", "all", 0, 0, 0, "7", 1.0, "7", trace_id=trace_id)
        with RunFile(tmp_path / f"run{trace_id[:1]}.jsonl", Header("s", "d", ("auto",), 1, 0)) as file:
            file.append(attempt)
        return str(file.path)

    out = tmp_path / "p.json"
    taken = invoke("--out", str(out), "--loads", "8", "--repeats", "1", "--eval", run_of("b" * 32))
    refused = invoke("--eval", run_of(""))

    assert taken.exit_code == 0, taken.output
    assert len(load_profile(out).trees_of("plan_execute_verify")) == 1
    assert "/v1/traces?" not in "".join(door.asked)
    assert refused.exit_code == 2
    assert "no attempt in it has a trace" in refused.output
