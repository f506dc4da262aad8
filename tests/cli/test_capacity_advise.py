"""`appliance capacity advise`: wrong input in one sentence, and one advice in every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from appliance.chart.values import HelmValues
from appliance.cli.main import app

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "config" / "examples" / "one-l4.yaml")


def run(*arguments: str) -> Result:
    asked = {"--users": "60", "--hard-share": "0.2", "--slo": "p95<60s", "--config": CONFIG, "--gpus": "l4"}
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    return CliRunner().invoke(app, ["capacity", "advise", *(part for pair in (asked | given).items() for part in pair)])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--users", "-5", "--users -5: nobody asks anything then"),
        ("--users", "nan", "--users nan"),
        ("--hard-share", "20", "--hard-share 20: a share lies between 0 and 1"),
        ("--requests-per-user", "-1", "--requests-per-user -1"),
        ("--growth", "double", "--growth double: is no growth; write 2x"),
        ("--slo", "quick", "--slo quick: 'quick' is no objective; write it like p95<12s"),
        ("--gpus", "k80", "--gpus k80: there is no such kind of GPU; name one of t4, l4"),
        ("--gpus", ",", "--gpus: names nothing"),
        ("--quality-floor", "0.8", "--quality-floor: quality has to be measured; give --eval RUN"),
        ("--hard-classes", "x", "--hard-classes: they are classes of a run's tasks"),
        ("--profile", "/nowhere.json", "/nowhere.json: no such file"),
        ("--eval", "/nowhere.jsonl", "/nowhere.jsonl: can't be read"),
        ("--hardware", "/nowhere.yaml", "/nowhere.yaml: no such file; give an existing one with --hardware"),
        ("--models", "nobody", "nobody"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(option: str, value: str, said: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_an_advice_as_json_html_and_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})  # in this process: others would load everything again
    html, values = tmp_path / "advice.html", tmp_path / "made" / "values.yaml"
    result = CliRunner().invoke(
        app,
        [
            *("capacity", "advise", "--users", "20", "--hard-share", "0", "--slo", "p95<60s", "--gpus", "l4"),
            *("--config", CONFIG, "--json", "--html", str(html), "--helm-values", str(values)),
        ],
    )
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)["options"][0]
    assert (first["gpu"], first["gpus"]) == ("l4", 1)
    assert html.read_text().startswith("<!doctype html>")
    written = yaml.safe_load(values.read_text())
    assert [pack["gpus"] for pack in written["packs"]] == [1]
    assert [engine["id"] for engine in written["packs"][0]["engines"]] == [e["id"] for e in first["engines"]]
    assert HelmValues.model_validate(written)
