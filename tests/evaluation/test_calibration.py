from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evaluation.calibration import (
    Calibration,
    KeptCalibration,
    LabelledVerdict,
    calibration_error,
    calibrations,
    least_wrong,
    thresholds,
)
from appliance.evaluation.intervals import Share


def verdicts(right: list[float], wrong: list[float], verifier: str = "v", skill: str = "math") -> list[LabelledVerdict]:
    return [LabelledVerdict(verifier, skill, p, ok) for ok, ps in ((True, right), (False, wrong)) for p in ps]


def one(right: list[float], wrong: list[float], target: float = 0.02, threshold: float = 0.5) -> Calibration:
    (found,) = calibrations(verdicts(right, wrong), threshold, target)
    return found


def test_the_lowest_threshold_that_keeps_wrong_results_out() -> None:
    # 200 wrong results: the interval of none accepted ends at 1.9%, that of one at 2.8%. So none may pass.
    found = one([0.9] * 90 + [0.75] * 10, [0.1] * 197 + [0.6, 0.7, 0.7])
    assert (found.before.threshold, found.before.false_accepts, found.before.false_rejects) == (
        0.5,
        Share(3, 200),
        Share(0, 100),
    )
    assert found.chosen is not None
    assert found.chosen.threshold == pytest.approx(0.725)
    assert (found.chosen.false_accepts, found.chosen.false_rejects) == (Share(0, 200), Share(0, 100))
    assert found.samples == 300


def test_what_is_allowed_to_pass_passes() -> None:
    # 1,000 wrong results: 12 accepted end at 2.09%, 11 at 1.96%.
    wrong = [0.9] * 11 + [0.4] * 3 + [0.1] * 986
    found = one([0.95] * 50 + [0.5] * 50, wrong)
    assert found.chosen is not None
    assert found.chosen.threshold == pytest.approx(0.45)
    assert found.chosen.false_accepts == Share(11, 1000)


def test_too_few_results_are_refused_with_what_is_needed() -> None:
    assert least_wrong(0.02) == 189
    assert one([0.9] * 50, [0.1] * 188).refusal == "too few wrong results: 188, at least 189 are needed for 2.0%"
    few = one([0.9] * 19, [0.1] * 300)
    assert (few.chosen, few.refusal) == (None, "too few right results: 19, at least 20 are needed")


def test_a_verifier_that_can_not_tell_is_refused() -> None:
    found = one([0.5] * 300, [0.5] * 300)
    assert found.chosen is None
    assert found.refusal == "no threshold keeps false accepts at 2.0% and lets a right result pass"
    assert one([0.9] * 30, [1.0] * 300).chosen is None
    strict = one([0.99] * 60 + [0.6] * 40, [0.7] * 20 + [0.1] * 280)
    assert (strict.chosen, strict.refusal) == (
        None,
        "keeping false accepts at 2.0% would reject 40% of the right results",
    )


def test_each_verifier_and_class_stands_for_itself() -> None:
    mixed = verdicts([0.9], [0.1]) + verdicts([0.8], [], skill="text") + verdicts([], [0.3], verifier="w")
    found = calibrations(mixed, 0.5, 0.02)
    assert [(c.verifier, c.task_class, c.samples) for c in found] == [
        ("v", "math", 2),
        ("v", "text", 1),
        ("w", "math", 1),
    ]


def test_the_calibration_error_is_the_mean_gap() -> None:
    assert calibration_error(verdicts([1.0] * 5, [0.0] * 5)) == 0.0
    assert calibration_error(verdicts([0.8] * 5, [0.8] * 5)) == pytest.approx(0.3)
    assert calibration_error(verdicts([0.25, 1.0], [0.25, 0.0])) == pytest.approx(0.125)
    assert calibration_error([]) == 0.0


probabilities = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.50001, 0.9, 1.0]), max_size=300)


@given(probabilities, probabilities, st.sampled_from([0.02, 0.1, 0.3]))
def test_what_is_chosen_keeps_its_promise_and_none_lower_does(
    right: list[float], wrong: list[float], target: float
) -> None:
    for found in calibrations(verdicts(right, wrong), 0.5, target):
        assert (found.chosen is None) == bool(found.refusal)
        if found.chosen is None:
            continue
        assert found.chosen.false_accepts.interval[1] <= target
        assert found.chosen.false_rejects.value <= 0.25
        passing = min(p for p in right if p >= found.chosen.threshold)
        lower = [p for p in right if p < passing]
        if lower:
            accepted = sum(p >= max(lower) for p in wrong)
            assert Share(accepted, len(wrong)).interval[1] > target


def test_a_calibration_counts_for_its_revision_and_prompts_only() -> None:
    good = one([0.9] * 50, [0.1] * 200)
    assert good.chosen is not None
    kept = KeptCalibration(good, "r1", "p1")
    assert thresholds([kept], {"v": ("r1", "p1")}).values == {("v", "math"): good.chosen.threshold}
    for current, what in ((("r2", "p1"), "revision"), (("r1", "p2"), "prompt")):
        found = thresholds([kept], {"v": current})
        assert found.values == {}
        assert found.notes == (f"v, math: calibrated with another {what}; calibrate again",)
    assert thresholds([kept], {"w": ("r1", "p1")}).notes == (), "a model that is not in the pool is nobody's business"
