"""The gate: a head is promoted only where held-out tasks show that it earns its place. Pure.

On tasks that it was not trained on:
1. there must be enough of them, and enough training behind it, to tell anything; and cross-validation must have found
   that its training data had something to teach: else a head is right on held-out tasks by luck, or not at all;
2. in every class of tasks its quality is no worse than that of the best fixed choice (the arm with the highest quality
   over all), by more than MARGIN, with 95% confidence;
3. over all, its reward is better than that of the best fixed choice (the arm with the highest reward), with 95%
   confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.learning.examples import Examples
from appliance.learning.features import features
from appliance.learning.head import Head, stacked

MARGIN: Final = 0.02
LEAST_TRAINING: Final = 100
LEAST_TASKS: Final = 100
LEAST_OF_CLASS: Final = 20
RESAMPLES: Final = 2_000
_SEED: Final = 20_261


class Answer(StrEnum):
    """What the gate says."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A head's mean less a fixed choice's, with the lower end of its one-sided 95% interval."""

    what: str
    fixed: str
    tasks: int
    head: float
    other: float
    low: float

    def as_document(self) -> dict[str, Any]:
        """For the card."""
        return {
            "what": self.what,
            "fixed": self.fixed,
            "tasks": self.tasks,
            "head": self.head,
            "fixed_choice": self.other,
            "difference_low_95": self.low,
        }


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer with its reasons and what they rest on.

    `oracle_share` is the head's reward as a share of that of the best arm for each task, both above the worst fixed
    arm; `gpu_share` its GPU-seconds as a share of those of the dearest arm.
    """

    answer: Answer
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    reward: float = 0.0
    oracle_reward: float = 0.0
    gpu_share: float = 1.0
    shares: tuple[tuple[str, float], ...] = ()

    def as_document(self) -> dict[str, Any]:
        """For the card."""
        return {
            "answer": self.answer.value,
            "reasons": list(self.reasons),
            "comparisons": [comparison.as_document() for comparison in self.comparisons],
            "reward": self.reward,
            "oracle_reward": self.oracle_reward,
            "gpu_seconds_of_dearest": self.gpu_share,
            "chosen": dict(self.shares),
        }


def ruling(head: Head, held_out: Examples, worth: float, *, training_tasks: int, evidence: float) -> Ruling:
    """What the gate says of a head. `held_out` has the head's arms, and none of its training tasks.

    `evidence` is that of its training (`train.Trained`).
    """
    if training_tasks < LEAST_TRAINING:
        return _unknown(f"it was trained on {training_tasks} tasks; at least {LEAST_TRAINING} are needed")
    if len(held_out.items) < LEAST_TASKS:
        return _unknown(f"{len(held_out.items)} held-out tasks; at least {LEAST_TASKS} are needed")
    chosen = _chosen(head, held_out)
    rows = np.arange(len(chosen))
    qualities, rewards = held_out.qualities(), held_out.rewards(worth)
    best_quality = int(qualities.mean(axis=0).argmax())
    best_reward = int(rewards.mean(axis=0).argmax())
    made = [
        _comparison(name, held_out.arms[best_quality], qualities[of, chosen[of]], qualities[of, best_quality])
        for name, of in _classes(held_out).items()
    ]
    overall = _comparison("reward", held_out.arms[best_reward], rewards[rows, chosen], rewards[:, best_reward])
    answer, reasons = _answer(made, overall)
    if evidence <= 0:
        learned = "its training data had nothing to teach: out of fold it was not surely better than one fixed choice"
        answer, reasons = Answer.REFUSED, (learned, *(reasons if answer is not Answer.PROMOTED else ()))
    gpu_s = held_out.gpu_seconds()
    return Ruling(
        answer,
        reasons,
        (*made, overall),
        reward=overall.head,
        oracle_reward=float(rewards.max(axis=1).mean()),
        gpu_share=float(gpu_s[rows, chosen].mean() / max(gpu_s.mean(axis=0).max(), 1e-12)),
        shares=tuple((arm, float((chosen == place).mean())) for place, arm in enumerate(held_out.arms)),
    )


def _answer(by_class: list[Comparison], overall: Comparison) -> tuple[Answer, tuple[str, ...]]:
    worse = [c for c in by_class if c.tasks >= LEAST_OF_CLASS and c.low < -MARGIN]
    small = [c for c in by_class if c.tasks < LEAST_OF_CLASS]
    surely = [c for c in worse if c.head - c.other < -MARGIN]
    reasons = [
        f"{c.what}: quality {c.head:.1%} against {c.other:.1%} of {c.fixed}; it may be {-c.low:.1%} worse"
        for c in worse
    ]
    if overall.low <= 0:
        reasons.append(
            f"reward {overall.head:.3f} is not surely above the {overall.other:.3f} of {overall.fixed} "
            f"(lower end of the difference {overall.low:+.3f})"
        )
    if surely or overall.low <= 0:
        return Answer.REFUSED, tuple(reasons)
    reasons += [f"{c.what}: {c.tasks} held-out tasks; at least {LEAST_OF_CLASS} are needed" for c in small]
    if reasons:
        return Answer.CANNOT_TELL, tuple(reasons)
    return Answer.PROMOTED, (
        f"no class of tasks is worse than with {by_class[0].fixed} alone; reward {overall.head:.3f} against "
        f"{overall.other:.3f} of {overall.fixed}",
    )


def _chosen(head: Head, examples: Examples) -> NDArray[np.int64]:
    """The place of the chosen arm for each task, among the arms of `examples`."""
    order = [head.arms.index(arm) for arm in examples.arms]
    scores = head.scores(stacked([features(item.text, item.embedding) for item in examples.items]))[:, order]
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _classes(examples: Examples) -> dict[str, NDArray[np.int64]]:
    places: dict[str, list[int]] = {}
    for place, item in enumerate(examples.items):
        places.setdefault(item.task_class, []).append(place)
    return {name: np.array(found) for name, found in places.items()}


def _comparison(what: str, fixed: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Comparison:
    gaps = ours - theirs
    draws = np.random.default_rng(_SEED).integers(0, len(gaps), size=(RESAMPLES, len(gaps)))
    low = float(np.quantile(gaps[draws].mean(axis=1), 0.05))
    return Comparison(what, fixed, len(gaps), float(ours.mean()), float(theirs.mean()), low)


def _unknown(reason: str) -> Ruling:
    return Ruling(Answer.CANNOT_TELL, (reason,))
