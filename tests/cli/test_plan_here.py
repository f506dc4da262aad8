"""`appliance plan` for the GPUs of this machine, as a fake driver shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from appliance.cli.main import app
from tests.conftest import Scenario

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "config" / "examples" / "one-l4.yaml"


def run(*arguments: str, config: Path = SMALL) -> Result:
    return CliRunner().invoke(app, ["plan", "--config", str(config), *arguments])


def pinned(tmp_path: Path, gpu: str) -> Path:
    document = yaml.safe_load(SMALL.read_text())
    document["models"]["catalog"] = str(ROOT / "models" / "catalog")
    document["pool"][0]["engine"]["gpu_ids"] = [gpu]
    file = tmp_path / "appliance.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_mixed_cards(machine: Scenario) -> None:
    machine("l4-a100")
    answer = json.loads(run("--json").stdout)
    assert {(gpu["node"], gpu["gpu_id"]) for gpu in answer["gpus"]} == {("local", "GPU-l4"), ("local", "GPU-a100")}
    assert {gpu["used_bytes"] for gpu in answer["gpus"]} == {0, 2**20}


def test_mig_instances_are_planned_for_alone(machine: Scenario) -> None:
    machine("mig")
    answer = json.loads(run("--json").stdout)
    assert [gpu["gpu_id"] for gpu in answer["gpus"]] == ["MIG-3g", "MIG-2g", "MIG-1c-0", "GPU-h100-1"]
    assert {len(engine["gpu_ids"]) for engine in answer["engines"]} == {1}


def test_a_lost_gpu_is_named_and_left_out(machine: Scenario) -> None:
    machine("lost")
    result = run("--json")
    assert result.exit_code == 0, result.output
    assert "left out: GPU 1 (NVIDIA GPU): it has fallen off the bus" in result.stderr
    assert [gpu["gpu_id"] for gpu in json.loads(result.stdout)["gpus"]] == ["GPU-l40s-0", "GPU-l40s-2"]


def test_a_pin_to_a_sick_gpu_says_that_it_is_sick(machine: Scenario, tmp_path: Path) -> None:
    machine("sick")
    result = run(config=pinned(tmp_path, "GPU-row"))
    assert result.exit_code == 2
    assert "there is no GPU GPU-row in this machine (left out: " in result.stderr
    assert "GPU-row): a bad row of its memory waits to be remapped" in result.stderr


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (["fail 0 * 15", "fail 1 * 15"], "no GPU here can be used"),
        (["fail * nvmlInitWithFlags 18"], "is installed, but fails"),
    ],
)
def test_no_gpu_that_works(machine: Scenario, facts: list[str], words: str) -> None:
    machine("l4-a100", *facts)
    result = run()
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
