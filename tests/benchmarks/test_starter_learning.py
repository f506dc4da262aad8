"""The router's training suite, and the figures by which a head on the starter pool is measured."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from appliance.evaluation.leakage import leaks
from appliance.evaluation.suite import load_suite
from appliance.learning.examples import Outcome
from benchmarks.starter.suite import SUITE, load
from benchmarks.starter.training_suite import PER_KIND, TRAINING, make
from benchmarks.starter.worth import ORACLE, Worth

DIRECT, TEAM = "auto:direct", "auto:plan_execute_verify"


def test_the_committed_training_suite_is_reproducible() -> None:
    rows = make([problem.question for problem in load()])
    assert TRAINING.read_text() == "".join(json.dumps(row) + "\n" for row in rows)


def test_it_holds_every_kind_and_nothing_of_the_held_out_suite() -> None:
    training, held_out = load_suite(TRAINING.with_suffix(".yaml")), load_suite(SUITE.with_suffix(".yaml"))
    assert set(training.classes) == set(held_out.classes)
    assert leaks(training.tasks, held_out.tasks) == ()
    counts = Counter((problem.steps, problem.wording) for problem in load(TRAINING))
    assert all(count == PER_KIND for (steps, _), count in counts.items() if steps)
    assert min(counts[0, "seen"], counts[0, "unseen"]) >= 60


def outcomes(qualities: str, gpu_s: float) -> list[Outcome]:
    return [Outcome(float(quality), gpu_s) for quality in qualities]


def test_a_choice_that_is_right_and_cheap_reaches_every_figure() -> None:
    easy, hard = 60, 60
    direct, team = outcomes("1" * easy + "0" * hard, 1.0), outcomes("0" * easy + "1" * hard, 4.0)
    worth = Worth([*direct[:easy], *team[easy:]], {DIRECT: direct, TEAM: team}, 0.025, TEAM)
    document = worth.as_document()
    assert [figure["reached"] for figure in document["figures"]] == [True] * 4
    assert document["figures"][0]["found"] == pytest.approx(1.0)
    assert document["figures"][2]["found"] == pytest.approx(1 - 2.5 / 4)
    assert document["ways"][ORACLE]["quality"]["mean"] == 1.0
    team_way = document["ways"][TEAM]
    assert (team_way["gpu_seconds_per_task"], team_way["reward"]) == (4.0, pytest.approx(0.4))
    assert document["reward_of_chosen_less_fixed"][DIRECT]["mean"] == pytest.approx(0.5 - 0.0375)


def test_what_always_orchestrates_reaches_none_but_the_accuracy() -> None:
    direct, team = outcomes("10" * 40, 1.0), outcomes("01" * 40, 4.0)
    figures = Worth(team, {DIRECT: direct, TEAM: team}, 0.025, TEAM).figures()
    assert [figure.reached for figure in figures] == [False, False, False, True]
