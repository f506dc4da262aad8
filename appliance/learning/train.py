"""Trains a head on outcomes that were logged once: no engine is asked again.

1. A supervised start: ridge regression of every arm's reward on the features, its strength chosen by cross-validation.
   The rewards of the arms that are chosen out of fold are the evidence that there was something to learn.
2. Separable CMA-ES (Ros & Hansen 2008, the `cma` library) on what the head is for: the mean reward of the arms that it
   would choose, softened so that it changes smoothly, estimated on the logged outcomes of all arms.
3. Of both, the one whose choices out of fold have the higher reward is kept. All folds count: one part of the data,
   held back once, is too small to tell a head that knows the training data by heart from a better one.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from appliance.learning.examples import Examples
from appliance.learning.features import HASHED, SIZE, features
from appliance.learning.head import Head, stacked

STRENGTHS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
EVIDENCE: Final = 0.999
"""Confidence of the evidence: outcomes that have nothing to do with their prompts pass by chance once in a thousand."""
RESAMPLES: Final = 4_000
FOLDS: Final = 5
GENERATIONS: Final = 150
_SOFTNESS: Final = 0.05
_STEP: Final = 0.02

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trained:
    """A head and how its training went: what each way gained out of fold, the ridge's strength, seconds.

    `evidence` is how much better than the best fixed arm the choices out of fold were at least, with the confidence
    EVIDENCE.
    """

    head: Head
    evidence: float
    metrics: dict[str, Any]


def train(examples: Examples, worth: float, *, seed: int, generations: int = GENERATIONS) -> Trained:
    """The same examples and seed give the same head. `worth` is what a GPU-second is worth in quality."""
    began = time.monotonic()
    vectors = stacked([features(item.text, item.embedding) for item in examples.items])
    mean, scale = _scaling(vectors)
    inputs = np.asarray((vectors - mean) / scale, dtype=np.float64)
    rewards = examples.rewards(worth)
    folds = _folds(len(rewards), seed)
    strength, gained = _cross_validated(inputs, rewards, folds)
    final, way, evolved_gain = _ridge(inputs, rewards, strength), "ridge", None
    if generations and len(folds) > 1:
        evolved_gain = float(_evolved_out_of_fold(inputs, rewards, folds, strength, seed, generations).mean())
        if evolved_gain > gained.mean():
            final, way = _evolved(final, inputs, rewards, seed, generations), "sep-CMA-ES"
    head = Head(
        examples.arms,
        final[:, :-1].astype(np.float32),
        final[:, -1].astype(np.float32),
        mean.astype(np.float32),
        scale.astype(np.float32),
    )
    metrics = {
        "kept": way,
        "out_of_fold_gain": {"ridge": float(gained.mean()), "sep-CMA-ES": evolved_gain},
        "evidence": (evidence := _lower_end(gained, seed)),
        "ridge_strength": strength,
        "seconds": time.monotonic() - began,
    }
    return Trained(head, evidence, metrics)


def _scaling(vectors: NDArray[np.float32]) -> tuple[Rows, Rows]:
    """The counts are brought to one scale; hashed features and embeddings have theirs already."""
    mean, scale = np.zeros(vectors.shape[1]), np.full(vectors.shape[1], 1.0)
    counts = vectors[:, HASHED:SIZE].astype(np.float64)
    mean[HASHED:SIZE], scale[HASHED:SIZE] = counts.mean(axis=0), counts.std(axis=0) + 1e-3
    return mean, scale


def _folds(count: int, seed: int) -> list[NDArray[np.int64]]:
    return np.array_split(np.random.default_rng(seed).permutation(count), min(FOLDS, count))


def _others(folds: list[NDArray[np.int64]], place: int) -> NDArray[np.int64]:
    return np.concatenate([other for number, other in enumerate(folds) if number != place])


def _ridge(inputs: Rows, rewards: Rows, strength: float) -> Rows:
    """Arms × (features and bias); the dual form, since there are more features than tasks."""
    middle = rewards.mean(axis=0)
    kernel = inputs @ inputs.T + strength * np.eye(len(inputs))
    weights = np.linalg.solve(kernel, rewards - middle).T @ inputs
    return np.hstack([weights, middle[:, None]])


def _cross_validated(inputs: Rows, rewards: Rows, folds: list[NDArray[np.int64]]) -> tuple[float, NDArray[np.float64]]:
    """The strength with the best mean reward out of fold (the strongest of equals), and what it gained for each task.

    The gain is that over the arm which was best on the other folds. All folds share one kernel, all strengths of a
    fold one decomposition of it.
    """
    if len(folds) < 2:
        return STRENGTHS[-1], np.zeros(len(inputs))
    kernel = inputs @ inputs.T
    gains = {strength: np.zeros(len(inputs)) for strength in STRENGTHS}
    for place, fold in enumerate(folds):
        rest = _others(folds, place)
        middle = rewards[rest].mean(axis=0)
        values, vectors = np.linalg.eigh(kernel[np.ix_(rest, rest)])
        turned, across = vectors.T @ (rewards[rest] - middle), kernel[np.ix_(fold, rest)] @ vectors
        for strength, gained in gains.items():
            chosen = (across @ (turned / (values + strength)[:, None]) + middle).argmax(axis=1)
            gained[fold] = rewards[fold, chosen] - rewards[fold, middle.argmax()]
    best = max(STRENGTHS, key=lambda strength: (gains[strength].mean(), strength))
    return best, gains[best]


def _lower_end(gains: NDArray[np.float64], seed: int) -> float:
    draws = np.random.default_rng(seed).integers(0, len(gains), size=(RESAMPLES, len(gains)))
    return float(np.quantile(gains[draws].mean(axis=1), 1 - EVIDENCE))


def _evolved_out_of_fold(
    inputs: Rows, rewards: Rows, folds: list[NDArray[np.int64]], strength: float, seed: int, generations: int
) -> NDArray[np.float64]:
    """What heads that were evolved on the other folds gained for each task, as in `_cross_validated`."""
    gained = np.zeros(len(inputs))
    for place, fold in enumerate(folds):
        rest = _others(folds, place)
        start = _ridge(inputs[rest], rewards[rest], strength)
        chosen = _scores(_evolved(start, inputs[rest], rewards[rest], seed, generations), inputs[fold]).argmax(axis=1)
        gained[fold] = rewards[fold, chosen] - rewards[fold, rewards[rest].mean(axis=0).argmax()]
    return gained


def _scores(weights: Rows, inputs: Rows) -> Rows:
    return np.asarray(inputs @ weights[:, :-1].T + weights[:, -1])


def _soft_value(weights: Rows, inputs: Rows, rewards: Rows) -> float:
    scores = _scores(weights, inputs) / _SOFTNESS
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return float((odds / odds.sum(axis=1, keepdims=True) * rewards).sum(axis=1).mean())


def _evolved(start: Rows, inputs: Rows, rewards: Rows, seed: int, generations: int) -> Rows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to plot
        import cma
    shape = start.shape

    def loss(flat: NDArray[np.float64]) -> float:
        return -_soft_value(flat.reshape(shape), inputs, rewards)

    options = {"CMA_diagonal": True, "seed": seed + 1, "maxiter": generations, "verbose": -9, "verb_log": 0}
    search = cma.CMAEvolutionStrategy(start.ravel(), _STEP, options)
    while not search.stop():
        asked = search.ask()
        search.tell(asked, [loss(one) for one in asked])
    best = search.result.xfavorite
    return np.asarray(best, dtype=np.float64).reshape(shape)
