"""Scenarios: every one of the repository loads, and what is wrong with others is named with file and key."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from appliance.bench.dialogue import ClosedPhase, OpenPhase
from appliance.bench.scenario import Scenario, load_scenario
from appliance.bench.schedule import phases_of
from appliance.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob("benchmarks/scenarios/*.yaml"))
MINIMAL = """
name: small
phases:
  - {name: steady, duration_s: 10, arrivals: {process: poisson, rate: 2}}
mix:
  - {name: all, prompts: {tokens: {mean: 20}}}
"""


def made(directory: Path, text: str = MINIMAL) -> Scenario:
    file = directory / "s.yaml"
    file.write_text(text)
    return load_scenario(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenarios_of_the_repository_load_and_can_be_sent(file: Path) -> None:
    scenario = load_scenario(file)
    assert scenario.settings.name == file.stem
    phases, mix = phases_of(scenario), scenario.mix({"auto"})
    for before, after in pairwise(phases):
        assert before.ends_s <= after.begins_s
    for phase in phases:
        assert isinstance(phase, ClosedPhase) or len(phase.dues_s) > 0
    kinds = {mix.dialogue(index).kind for index in range(200)}
    assert kinds == {kind.name for kind in scenario.settings.mix}
    assert mix.dialogue(7) == scenario.mix({"auto"}).dialogue(7)


def test_a_sweep_is_one_phase_a_rate(tmp_path: Path) -> None:
    swept = MINIMAL.replace("rate: 2}}", "rate: 2}, rates: [1, 20], pause_s: 5}")
    phases = phases_of(made(tmp_path, swept))
    assert [(phase.name, phase.begins_s) for phase in phases] == [("steady@1", 0.0), ("steady@20", 15.0)]
    assert all(isinstance(phase, OpenPhase) for phase in phases)
    few, many = (len(phase.dues_s) for phase in phases if isinstance(phase, OpenPhase))
    assert few < 30 < 150 < many


def test_weights_turns_prefixes_and_fields(tmp_path: Path) -> None:
    mixed = """
name: mixed
phases: [{name: steady, duration_s: 1, arrivals: {process: constant, rate: 2}}]
mix:
  - name: chat
    weight: 3
    effort: low
    turns: 2
    think_s: 1
    prompts: {tokens: {mean: 20, stdev: 10}}
    prefix: {tokens: 130, count: 2}
    max_tokens: {mean: 50, stdev: 20, least: 10, most: 60}
  - {name: named, model: m, stream: false, prompts: {tokens: {mean: 13}}, fields: {temperature: 0}}
"""
    drawn = [made(tmp_path, mixed).mix({"auto"}).dialogue(index) for index in range(400)]
    chats = [dialogue for dialogue in drawn if dialogue.kind == "chat"]
    assert 270 < len(chats) < 330
    assert all(dialogue.orchestrated and dialogue.fields["effort"] == "low" for dialogue in chats)
    assert all(10 <= dialogue.fields["max_tokens"] <= 60 for dialogue in chats)
    systems = {dialogue.turns[0][0]["content"] for dialogue in chats}
    assert len(systems) == 2
    assert all(len(text.split()) == 100 for text in systems)
    assert all(len(dialogue.turns) == 2 and len(dialogue.turns[1]) == 1 for dialogue in chats)
    named = next(dialogue for dialogue in drawn if dialogue.kind == "named")
    assert not named.orchestrated
    assert named.fields == {"temperature": 0}
    assert b'"stream"' not in named.body(named.turns[0])
    assert b'"include_usage":true' in chats[0].body(chats[0].turns[0])


def test_prompts_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a", "steps": 0}\n{"question": "b", "steps": 2}\n')
    text = MINIMAL.replace("{tokens: {mean: 20}}", "{file: q.jsonl, where: {steps: [2, 3]}}")
    mix = made(tmp_path, text).mix(())
    assert {mix.dialogue(index).turns[0][0]["content"] for index in range(20)} == {"b"}


def test_the_digest_is_of_what_is_sent(tmp_path: Path) -> None:
    first = made(tmp_path).digest
    assert made(tmp_path, MINIMAL + "slo: {e2e_p95_s: 1}\ndescription: other words\n").digest == first
    assert made(tmp_path, MINIMAL + "seed: 1\n").digest != first
    (tmp_path / "q.jsonl").write_text('{"question": "a"}\n')
    asked = MINIMAL.replace("{tokens: {mean: 20}}", "{file: q.jsonl}")
    before = made(tmp_path, asked).digest
    (tmp_path / "q.jsonl").write_text('{"question": "b"}\n')
    assert made(tmp_path, asked).digest != before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: small", "nam: small", "nam: unknown key"),
        ("rate: 2", "rate: -2", "phases.0.arrivals.poisson.rate: Input should be greater than 0"),
        ("process: poisson", "process: uniform", "phases.0.arrivals: Input tag 'uniform'"),
        ("{tokens: {mean: 20}}", "{}", "mix.0.prompts: exactly one of file and tokens is needed"),
        ("{tokens: {mean: 20}}", "{tokens: {mean: 20, least: 9, most: 2}}", "least is more than most"),
        ("{tokens: {mean: 20}}", "{file: none.jsonl}", "none.jsonl: can't be read"),
        ("{tokens: {mean: 20}}", "{file: q.jsonl, column: text}", "line 1: no text under 'text'"),
        ("{tokens: {mean: 20}}", "{file: q.jsonl, where: {steps: 9}}", "mix.all.prompts: no line of"),
        ("process: poisson, rate: 2", "process: replay, file: words.txt", "words.txt: line 2: 'soon' is no time"),
        ("process: poisson, rate: 2", "process: replay, file: empty.txt", "empty.txt: holds no times"),
        ("name: small", "name: small\nslo: {e2e_p96_s: 1}", "slo: 'e2e_p96_s' is no figure"),
        ("name: small", "name: small\nslo: {e2e_p95_s: 0}", "slo: e2e_p95_s: 0 can't be met"),
        ("name: small", "name: small\nversion: 2", "version: Input should be 1"),
        (
            "rate: 2}}",
            "rate: 2}}\n  - {name: steady, duration_s: 1, arrivals: {process: closed, users: 1}}",
            "phases: the name steady stands twice",
        ),
        (
            "arrivals: {process: poisson, rate: 2}",
            "arrivals: {process: closed, users: 1}, rates: [1, 2]",
            "rates: arrivals of the process closed have no rate to vary",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "a", "steps": 0}\n')
    (tmp_path / "words.txt").write_text("1\nsoon\n")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert old in MINIMAL
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, MINIMAL.replace(old, new))
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name the YAML file of a scenario"):
        load_scenario(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text(yaml.safe_dump([1]))
    with pytest.raises(ConfigError, match="expected a mapping with name, phases and mix"):
        load_scenario(tmp_path / "list.yaml")


def test_recorded_times_in_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"timestamp": 1000}\n{"timestamp": 3000}\n')
    text = MINIMAL.replace("process: poisson, rate: 2", "process: replay, file: t.jsonl, unit: ms")
    (phase,) = phases_of(made(tmp_path, text))
    assert isinstance(phase, OpenPhase)
    assert phase.dues_s == (0.0, 2.0)
