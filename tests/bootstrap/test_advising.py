"""Configurations → teams: as configured and alone, with traces and without, with quality and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bootstrap.advising import Evidence, Tried, rules_of, teams_of, wanting
from appliance.capacity.advice import LeftOut
from appliance.capacity.assumed_trees import SOURCE
from appliance.capacity.hardware import load_hardware
from appliance.capacity.quality import Measured, Score
from appliance.config import Settings, load
from appliance.domain.model import Role
from appliance.errors import CatalogError, ConfigError
from appliance.evaluation.comparison import EVERYTHING
from appliance.evaluation.paired import Interval
from tests.capacity import profiles

ROOT = Path(__file__).parents[2]
KIND = load_hardware()["l4"]
PLANNER, WORKER = "qwen2.5-7b-instruct-awq", "phi-4-mini-instruct"


def settings(name: str = "one-l4") -> Settings:
    return load(ROOT / "config" / "examples" / f"{name}.yaml", {})


def tried(found: tuple[Tried | LeftOut, ...]) -> dict[str, Tried]:
    return {each.team.name: each for each in found if isinstance(each, Tried)}


def test_the_team_and_its_generalists_alone() -> None:
    found = tried(teams_of(settings("four-l40s"), KIND, Evidence(), 0.2))
    assert list(found) == ["four-l40s as configured", "qwen3-14b alone", "phi-4 alone"]
    team = found["four-l40s as configured"].team
    assert set(team.trees) == {"direct", "plan_execute_verify"}
    assert team.trees_from == SOURCE
    planned = team.trees["plan_execute_verify"][0]
    assert {call.role for call in planned.calls} >= {Role.PLANNER, Role.SYNTHESIZER}
    alone = found["phi-4 alone"]
    assert [member.model for member in alone.settings.pool] == ["phi-4"]
    assert (alone.settings.coordinator.easy, alone.settings.coordinator.orchestrated) == ("direct", "direct")
    assert alone.settings.source == settings("four-l40s").source


def test_pins_to_todays_gpus_are_left_aside_and_classes_of_data_are_kept() -> None:
    found = tried(teams_of(settings("eight-h100"), load_hardware()["h100"], Evidence(), 0.2))
    wanted = found["eight-h100 as configured"].team.problem.models
    assert {each.data_class for each in wanted} == {"confidential"}
    assert all(not each.gpus and not each.nodes for each in wanted)


def test_a_model_of_the_catalog_may_be_tried_alone() -> None:
    found = tried(teams_of(settings(), KIND, Evidence(), 0.2, ["qwen3-8b"]))
    assert "qwen3-8b alone" in found
    assert found["qwen3-8b alone"].settings.pool[0].engine.max_model_len == 8192
    with pytest.raises(CatalogError, match="nobody"):
        teams_of(settings(), KIND, Evidence(), 0.2, ["nobody"])
    with pytest.raises(ConfigError, match=r"--models starter-math: it does not answer by itself"):
        teams_of(settings(), KIND, Evidence(), 0.2, ["starter-math"])


def test_traces_stand_in_for_what_is_configured() -> None:
    engines = [profiles.engine(PLANNER), profiles.engine(WORKER)]
    direct = (profiles.direct(PLANNER, 11, 7),)
    measured = profiles.profile(*engines, direct=direct, plan_execute_verify=(profiles.direct(WORKER),))
    found = tried(teams_of(settings(), KIND, Evidence(measured, "p.json"), 0.2))
    team = found["one-l4 as configured"].team
    assert team.trees["direct"] == direct
    assert team.trees_from == "p.json: 1 traces of direct, 1 traces of plan_execute_verify"
    assert found[f"{PLANNER} alone"].team.trees["direct"][0].calls[0].prompt_tokens == 11


def test_traces_of_another_pool_and_of_one_class_only_are_refused() -> None:
    strange = profiles.profile(profiles.engine("stranger"), direct=(profiles.direct("stranger"),))
    with pytest.raises(ConfigError, match=r"p.json: .* traces of another pool: they call stranger"):
        teams_of(settings(), KIND, Evidence(strange, "p.json"), 0.2)
    partial = profiles.profile(profiles.engine(PLANNER), direct=(profiles.direct(PLANNER),))
    with pytest.raises(ConfigError, match=r"p.json: has no requests of the class plan_execute_verify"):
        teams_of(settings(), KIND, Evidence(partial, "p.json"), 0.2)


def test_quality_goes_to_the_team_that_was_measured() -> None:
    def run(*models: str) -> Evidence:
        scores = tuple(
            Score(target, EVERYTHING, 10, Interval(mean, mean, mean))
            for target, mean in ((PLANNER, 0.5), ("auto:plan_execute_verify", 0.9))
        )
        return Evidence(None, "", Measured(scores, "run.jsonl", "auto", frozenset(models)))

    found = tried(teams_of(settings(), KIND, run(PLANNER, WORKER), 0.5))
    quality = found["one-l4 as configured"].team.quality
    assert quality is not None
    assert quality.score.mean == pytest.approx(0.7)
    other = tried(teams_of(settings(), KIND, run(PLANNER), 0.5))
    assert other["one-l4 as configured"].team.quality_missing == f"run.jsonl is a run of another pool ({PLANNER})"
    none = tried(teams_of(settings(), KIND, Evidence(), 0.5))
    assert none[f"{PLANNER} alone"].team.quality_missing == "its quality was not measured; give --eval RUN"


def test_a_strategy_whose_calls_nobody_knows_needs_traces() -> None:
    said = settings()
    cascade = said.coordinator.model_copy(update={"orchestrated": "cascade"})
    changed = said.model_copy(update={"coordinator": cascade}).said_by("mine.yaml")
    with pytest.raises(ConfigError, match=r"mine.yaml: how many calls cascade makes is not known without traces"):
        teams_of(changed, KIND, Evidence(), 0.2)


def test_what_the_values_are_planned_for() -> None:
    assert wanting(settings(), 1.23456).placement.requests_per_s == 1.2346
    assert rules_of(settings()).deadline_s == settings().coordinator.budget.wall_s
