"""What a verifier's probabilities are worth on labelled results, and the threshold that keeps wrong ones out. Pure.

A false accept is a wrong result that passes, as a share of the wrong ones; a false reject is a right one that fails, as
a share of the right ones. Neither depends on how many results of the set are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.evaluation.intervals import Share, wilson_interval

MOST_REJECTED = 0.25
"""A threshold that turns away more of the right results costs more than it saves: the verifier can't tell."""
LEAST_RIGHT = 20
"""Fewer right results say nothing of false rejects."""
BINS = 10


@dataclass(frozen=True, slots=True)
class LabelledVerdict:
    """The probability that a verifier gave to a result, and whether it was right. No verdict at all counts as 0."""

    verifier: str
    task_class: str
    probability: float
    right: bool


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold does."""

    threshold: float
    false_accepts: Share
    false_rejects: Share

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "threshold": self.threshold,
            "false_accepts": self.false_accepts.as_document(),
            "false_rejects": self.false_rejects.as_document(),
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """One verifier on one class of tasks. `before` is the threshold that counted until now.

    `chosen` is the lowest threshold for which the upper end of the 95% interval of false accepts is at most `target`;
    None where there is none that lets most right results pass, for the reason in `refusal`. `error` is the expected
    calibration error.
    """

    verifier: str
    task_class: str
    target: float
    error: float
    before: OperatingPoint
    chosen: OperatingPoint | None
    refusal: str = ""

    @property
    def samples(self) -> int:
        """Verdicts that it is made of."""
        return self.before.false_accepts.of + self.before.false_rejects.of

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verifier": self.verifier,
            "task_class": self.task_class,
            "samples": self.samples,
            "target_false_accept": self.target,
            "expected_calibration_error": self.error,
            "before": self.before.as_document(),
            "chosen": None if self.chosen is None else self.chosen.as_document(),
            "refusal": self.refusal,
        }


@dataclass(frozen=True, slots=True)
class KeptCalibration:
    """A calibration and what it holds for: the model's revision and the digest of the verifier's prompt."""

    calibration: Calibration
    revision: str
    prompts: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one of."""
        return self.calibration.verifier, self.calibration.task_class, self.revision, self.prompts


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The measured thresholds by verifier and task class, and a note for each calibration that does not count."""

    values: Mapping[tuple[str, str], float]
    notes: tuple[str, ...]


def calibrations(verdicts: Iterable[LabelledVerdict], threshold: float, target: float) -> tuple[Calibration, ...]:
    """One for each verifier and class, in the order in which they come first. `threshold` is what counts until now."""
    groups: dict[tuple[str, str], list[LabelledVerdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.verifier, verdict.task_class), []).append(verdict)
    return tuple(_calibration(*key, group, threshold, target) for key, group in groups.items())


def thresholds(kept: Iterable[KeptCalibration], current: Mapping[str, tuple[str, str]]) -> Thresholds:
    """What counts for the verifiers of today; `current` is model id → (revision, digest of its verifier's prompt)."""
    values: dict[tuple[str, str], float] = {}
    notes: list[str] = []
    for found in kept:
        made = found.calibration
        if made.verifier not in current or made.chosen is None:
            continue
        if current[made.verifier] == (found.revision, found.prompts):
            values[made.verifier, made.task_class] = made.chosen.threshold
        else:
            what = "revision" if current[made.verifier][0] != found.revision else "prompt"
            notes.append(f"{made.verifier}, {made.task_class}: calibrated with another {what}; calibrate again")
    return Thresholds(values, tuple(notes))


def least_wrong(target: float) -> int:
    """Wrong results needed before none accepted shows that false accepts are at most `target`."""
    count = 1
    while wilson_interval(0, count)[1] > target:
        count += 1
    return count


def calibration_error(verdicts: Sequence[LabelledVerdict]) -> float:
    """Expected calibration error: the mean gap of probability and frequency over equal bins (Naeini et al., 2015)."""
    bins: dict[int, list[LabelledVerdict]] = {}
    for verdict in verdicts:
        bins.setdefault(min(int(verdict.probability * BINS), BINS - 1), []).append(verdict)
    gaps = (abs(sum(v.probability - v.right for v in inside)) for inside in bins.values())
    return sum(gaps) / len(verdicts) if verdicts else 0.0


def _calibration(
    verifier: str, task_class: str, verdicts: Sequence[LabelledVerdict], threshold: float, target: float
) -> Calibration:
    right = sorted(v.probability for v in verdicts if v.right)
    wrong = sorted((v.probability for v in verdicts if not v.right), reverse=True)
    chosen, refusal = _chosen(right, wrong, target)
    return Calibration(
        verifier=verifier,
        task_class=task_class,
        target=target,
        error=calibration_error(verdicts),
        before=_point(threshold, right, wrong),
        chosen=None if chosen is None else _point(chosen, right, wrong),
        refusal=refusal,
    )


def _chosen(right: Sequence[float], wrong: Sequence[float], target: float) -> tuple[float | None, str]:
    """The threshold, or None and why there is none. `right` rises, `wrong` falls.

    It lies halfway between the strongest wrong result that has to fail and the weakest right one above it.
    """
    if len(wrong) < least_wrong(target):
        return None, f"too few wrong results: {len(wrong)}, at least {least_wrong(target)} are needed for {target:.1%}"
    if len(right) < LEAST_RIGHT:
        return None, f"too few right results: {len(right)}, at least {LEAST_RIGHT} are needed"
    accepted = next(n for n in range(len(wrong), -1, -1) if wilson_interval(n, len(wrong))[1] <= target)
    refused = wrong[accepted] if accepted < len(wrong) else 0.0
    passing = next((probability for probability in right if probability > refused), None)
    if passing is None:
        return None, f"no threshold keeps false accepts at {target:.1%} and lets a right result pass"
    rejected = sum(probability < passing for probability in right) / len(right)
    if rejected > MOST_REJECTED:
        return None, f"keeping false accepts at {target:.1%} would reject {rejected:.0%} of the right results"
    middle = (refused + passing) / 2
    return (middle if middle > refused else passing), ""


def _point(threshold: float, right: Sequence[float], wrong: Sequence[float]) -> OperatingPoint:
    accepted = sum(probability >= threshold for probability in wrong)
    rejected = sum(probability < threshold for probability in right)
    return OperatingPoint(threshold, Share(accepted, len(wrong)), Share(rejected, len(right)))
