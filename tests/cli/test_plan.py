"""`appliance plan` on every example, in every form, and on input that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from appliance.placement.problem import Problem

ROOT = Path(__file__).parents[2]
EXAMPLES = ["one-l4", "two-4090", "four-l40s", "eight-h100", "eight-a100-mig"]
SMALL = ROOT / "config" / "examples" / "one-l4.yaml"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def plan(name: str, *arguments: str) -> Result:
    files = (ROOT / "config" / kind / f"{name}.yaml" for kind in ("examples", "inventories"))
    config, inventory = map(str, files)
    return run("--config", config, "--inventory", inventory, *arguments)


def changed(tmp_path: Path, **sections: Any) -> Path:
    """The smallest example with other sections."""
    document = yaml.safe_load(SMALL.read_text())
    document["models"]["catalog"] = str(ROOT / "models" / "catalog")
    document["placement"] |= sections.pop("placement", {})
    file = tmp_path / "appliance.yaml"
    file.write_text(yaml.safe_dump(document | sections))
    return file


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_placed_within_the_memory_of_its_gpus(name: str) -> None:
    result = plan(name, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    for gpu in answer["gpus"]:
        here = [e for e in answer["engines"] if e["node"] == gpu["node"] and gpu["gpu_id"] in e["gpu_ids"]]
        steady = sum(e["booked_bytes"] for e in here if not e["turn_group"])
        assert steady <= gpu["total_bytes"] - gpu["used_bytes"] - gpu["reserve_bytes"]
    document = yaml.safe_load((ROOT / "config" / "examples" / f"{name}.yaml").read_text())
    assert {e["model_id"] for e in answer["engines"]} == {member["model"] for member in document["pool"]}
    assert answer["requests_per_s"] > 0


def test_the_example_that_does_not_fit_is_refused_with_ways_out() -> None:
    result = plan("too-large")
    assert result.exit_code == 2
    assert "GiB short on any GPU" in result.stderr
    assert "max_model_len 16384" in result.stderr
    assert "fp8" in result.stderr
    assert result.stdout == ""


def test_a_refusal_as_json() -> None:
    result = plan("too-large", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["unplaceable"]


def test_picture_shows_bars_roles_rate_and_reasons() -> None:
    shown = plan("one-l4").stdout
    assert "edge-1/0  NVIDIA L4" in shown
    assert "█" in shown
    assert "▓" in shown
    assert "verifier" in shown
    assert "bottleneck" in shown
    assert "estimate" in shown


def test_why_tells_parts_and_place() -> None:
    shown = plan("one-l4", "--why", "phi-4-mini-instruct").stdout
    assert "roles it bears: executors.math, verifier" in shown
    assert "weights 7" in shown
    assert "chosen: edge-1/0 beside qwen2.5-7b-instruct-awq" in shown


def test_why_of_a_model_that_is_refused_or_unknown() -> None:
    assert "GiB short" in plan("too-large", "--why", "qwen3-14b").stdout
    result = plan("one-l4", "--why", "nothing")
    assert result.exit_code == 2
    assert "--why takes one of" in result.stderr


def test_helm_values_are_packs_with_vllms_names() -> None:
    values = yaml.safe_load(plan("one-l4", "--helm-values").stdout)
    (pack,) = values["packs"]
    assert (pack["node"], pack["gpus"], len(pack["engines"])) == ("edge-1", 1, 2)
    assert all(engine["kv_cache_memory_bytes"] > 0 for engine in pack["engines"])


def test_diff_against_a_saved_plan(tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    saved.write_text(plan("one-l4", "--json").stdout)
    assert "2 engines stay as they are" in plan("one-l4", "--diff", str(saved)).stdout
    shown = plan("two-4090", "--diff", str(saved)).stdout
    assert "stop phi-4-mini-instruct on edge-1/0" in shown
    assert "start gpt-oss-20b on workstation/" in shown


PHI = "phi-4-mini-instruct"
UNKNOWN_POOL = [{"model": "nothing", "engine": {"kv_cache_memory_bytes": 10**9}}]
CALLS = {"prompt_tokens": 1, "completion_tokens": 1}


def limits(**changes: Any) -> dict[str, Any]:
    """Limits of one model."""
    return {"placement": {"models": {PHI: changes}}}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"pool": UNKNOWN_POOL, "roles": {"generalist": ["nothing"]}, "placement": {"calls": {}}},
            "pool.0.model: nothing is not in the catalog",
        ),
        (limits(gpus=["7"]), f"placement.models.{PHI}.gpus: there is no GPU 7"),
        (limits(nodes=["x"]), "there is no node x"),
        (limits(gpus=["0"], tensor_parallel_sizes=[2]), "smallest tensor_parallel_size is 2"),
        ({"placement": {"models": {"phi-4": {}}}}, "placement.models.phi-4: is not in the pool"),
        ({"placement": {"calls": {"executors.law": CALLS}}}, "no model plays it"),
        ({"placement": {"forbidden_pairs": [["phi-4", PHI]]}}, "placement.forbidden_pairs: phi-4 is not"),
        ({"placement": {"licences": ["Apache-2.0"]}}, "licence MIT is not among Apache-2.0"),
    ],
)
def test_wrong_input_is_one_clear_error(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    file = changed(tmp_path, **sections)
    result = run("--config", str(file), "--inventory", str(ROOT / "config" / "inventories" / "one-l4.yaml"))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_forms_exclude_each_other_and_a_saved_plan_must_be_one(tmp_path: Path) -> None:
    assert plan("one-l4", "--json", "--helm-values").exit_code == 2
    broken = tmp_path / "plan.json"
    broken.write_text("{}")
    result = plan("one-l4", "--diff", str(broken))
    assert result.exit_code == 2
    assert "is no saved plan" in result.stderr


def test_without_a_gpu_an_inventory_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.bootstrap.site.scan_gpus", lambda: ())
    result = run("--config", str(SMALL))
    assert result.exit_code == 2
    assert "--inventory FILE" in result.stderr


def test_problem_follows_the_configuration() -> None:
    from appliance.bootstrap.planning import problem_of
    from appliance.config import load

    problem = problem_of(load(SMALL, {}), ROOT / "config" / "inventories" / "one-l4.yaml")
    assert isinstance(problem, Problem)
    assert problem.demand.requests_per_s == 0.5
    assert problem.models[0].least_kv_bytes == 2**30
