"""Targets side by side: equal GPU-seconds, verdicts in plain words, and what is left out."""

from __future__ import annotations

import pytest

from appliance.evaluation.attempt import Attempt
from appliance.evaluation.comparison import EVERYTHING, Advice, ClassVerdict, compare
from appliance.evaluation.target import targets_of
from tests.evaluation.attempts import attempt


def verdict(*attempts: Attempt, targets: str = "auto,small") -> ClassVerdict:
    chosen = targets_of(targets, virtual_model="auto", models=("small", "large"))
    return compare(attempts, chosen, virtual_model="auto").verdicts[0]


def pairs(team: list[float], single: list[float], *, team_gpu_s: float = 4.0) -> list[Attempt]:
    return [
        made
        for number, (ours, theirs) in enumerate(zip(team, single, strict=True))
        for made in (attempt("auto", number, ours, team_gpu_s), attempt("small", number, theirs))
    ]


def test_where_the_team_is_better_it_is_used() -> None:
    found = verdict(*pairs([1.0] * 60, [1.0] * 30 + [0.0] * 30))
    assert found.advice is Advice.ORCHESTRATE
    assert found.difference.p_value < 1e-6
    assert "+50.0 points" in found.words
    assert "4× the GPU-seconds of small" in found.words


def test_where_it_is_worse_it_is_not() -> None:
    assert verdict(*pairs([0.0] * 20 + [1.0] * 20, [1.0] * 40)).advice is Advice.SINGLE


def test_equal_quality_goes_to_the_cheaper_one() -> None:
    same = [1.0] * 200
    assert verdict(*pairs(same, same)).advice is Advice.SINGLE
    cheap = verdict(*pairs(same, same, team_gpu_s=0.5))
    assert cheap.advice is Advice.ORCHESTRATE
    assert "takes less" in cheap.words


def test_too_few_tasks_say_how_many_more_are_needed() -> None:
    found = verdict(*pairs([1.0] * 8 + [0.0] * 2, [1.0] * 7 + [0.0] * 2 + [1.0]))
    assert found.advice is Advice.UNKNOWN
    assert found.more_tasks > 100
    assert f"about {found.more_tasks} more tasks" in found.words


def test_a_single_model_gets_what_the_team_took() -> None:
    """Three samples at 1 GPU-second are at least 2.5; the majority of the first three is right."""
    drawn = [attempt("self-consistency:small@5", 0, score, 1.0, sample) for sample, score in enumerate([0, 1, 1, 0, 0])]
    chosen = targets_of("auto,self-consistency:small@5", virtual_model="auto", models=("small",))
    made = compare([attempt("auto", 0, 1.0, 2.5), *drawn], chosen, virtual_model="auto")
    equal = made.row("small@=auto")
    assert (equal.samples, equal.gpu_s, equal.quality.mean, equal.note) == (3, 3.0, 1.0, "")
    assert made.row("self-consistency:small@5").gpu_s == 5.0


def test_it_says_so_when_the_samples_do_not_reach_the_budget() -> None:
    drawn = [attempt("self-consistency:small@2", 0, 1.0, 1.0, sample) for sample in range(2)]
    chosen = targets_of("auto,self-consistency:small@2", virtual_model="auto", models=("small",))
    made = compare([attempt("auto", 0, 1.0, 9.0), *drawn], chosen, virtual_model="auto")
    assert "draw more of them" in made.row("small@=auto").note


def test_classes_have_rows_and_verdicts_of_their_own() -> None:
    easy = pairs([1.0] * 5, [1.0] * 5)
    attempts = [*easy, attempt("auto", "h", 1.0, task_class="hard"), attempt("small", "h", 0.0, task_class="hard")]
    chosen = targets_of("auto,small", virtual_model="auto", models=("small",))
    made = compare(attempts, chosen, virtual_model="auto")
    assert [v.task_class for v in made.verdicts] == [EVERYTHING, "all", "hard"]
    assert made.row("small", "hard").quality.mean == 0
    with pytest.raises(KeyError):
        made.row("large")


def test_tasks_that_not_all_tried_are_left_out_and_named() -> None:
    chosen = targets_of("auto,small", virtual_model="auto", models=("small",))
    made = compare([*pairs([1.0], [1.0]), attempt("auto", "only", 1.0)], chosen, virtual_model="auto")
    assert made.row("auto").tasks == 1
    assert made.notes == ("1 of 2 tasks were not tried by every target and are left out",)


def test_an_attempt_without_an_answer_counts_as_wrong_and_does_not_vote() -> None:
    drawn = [
        attempt("self-consistency:small@3", 0, 0.0, sample=0, error="no"),
        attempt("self-consistency:small@3", 0, 0.0, sample=1, error="no"),
        attempt("self-consistency:small@3", 0, 1.0, sample=2),
    ]
    chosen = targets_of("self-consistency:small@3", virtual_model="auto", models=("small",))
    row = compare(drawn, chosen, virtual_model="auto").row("self-consistency:small@3")
    assert (row.quality.mean, row.errors) == (1.0, 2)


def test_nothing_at_all() -> None:
    made = compare([], targets_of("auto,small", virtual_model="auto", models=("small",)), virtual_model="auto")
    assert (made.rows, made.verdicts) == ((), ())
