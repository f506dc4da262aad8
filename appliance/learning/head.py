"""A linear head: one score for each way to answer, the highest one chosen. Pure.

Scores are expected rewards: quality less what the GPU-seconds are worth. About 10,000 numbers in all, as in TRINITY
(arXiv 2512.04695), so that it can be read, explained and held against a fixed choice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.learning.features import COUNTS, HASHED, SIZE, Vector

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Choice:
    """An arm, the score of every arm, and by how much it is ahead of the next one."""

    arm: str
    scores: tuple[tuple[str, float], ...]
    lead: float


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """`weights` is arms × features, `bias` one number an arm; features are scaled by `mean` and `scale` before.

    Features are the SIZE ones of the text, and the embedding where there is one.
    """

    arms: tuple[str, ...]
    weights: Matrix
    bias: Vector
    mean: Vector
    scale: Vector

    def __post_init__(self) -> None:
        count, size = len(self.arms), SIZE + self.embedding_size
        shapes = {"weights": (count, size), "bias": (count,), "mean": (size,), "scale": (size,)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise ValueError(f"{name} has the shape {found.shape} instead of {shape}")
            if not np.isfinite(found).all():
                raise ValueError(f"{name} holds a number that is none")
        if not count or len(set(self.arms)) != count:
            raise ValueError("a head needs arms, each once")
        if not (self.scale > 0).all():
            raise ValueError("scale holds a number that is not above 0")

    @property
    def embedding_size(self) -> int:
        """Numbers of an embedding; 0: it takes none."""
        return int(max(0, self.weights.shape[-1] - SIZE))

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return int(self.weights.size + self.bias.size)

    def scaled(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features as the weights take them; the last axis is that of the features."""
        return ((vectors - self.mean) / self.scale).astype(np.float32)

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of every arm on the last axis."""
        return self.scaled(vectors) @ self.weights.T + self.bias

    def choose(self, vector: Vector, allowed: Collection[str] | None = None) -> Choice | None:
        """The best arm of those `allowed` (None: all), the first one of equals; None where there is none."""
        scored = [(arm, float(s)) for arm, s in zip(self.arms, self.scores(vector), strict=True)]
        possible = [(arm, s) for arm, s in scored if allowed is None or arm in allowed]
        if not possible:
            return None
        best = max(possible, key=lambda pair: pair[1])
        others = [s for arm, s in possible if arm != best[0]]
        return Choice(best[0], tuple(scored), best[1] - max(others) if others else 0.0)

    def explanation(self, vector: Vector, arm: str, against: str) -> tuple[tuple[str, float], ...]:
        """What speaks for `arm` against another one: each count, all words together, the embedding; largest first."""
        gap = self.weights[self.arms.index(arm)] - self.weights[self.arms.index(against)]
        parts = self.scaled(vector) * gap
        named = [("words and pairs of them", float(parts[:HASHED].sum()))]
        named += [(name, float(part)) for name, part in zip(COUNTS, parts[HASHED:SIZE], strict=True)]
        if self.embedding_size:
            named.append(("embedding", float(parts[SIZE:].sum())))
        named.append(("in general", float(self.bias[self.arms.index(arm)] - self.bias[self.arms.index(against)])))
        return tuple(sorted(named, key=lambda pair: -abs(pair[1])))


@dataclass(frozen=True, slots=True)
class Card:
    """What a head was made of and how it did; the JSON file beside its weights.

    `pool` is a digest of the models and their revisions: a head holds for that pool only. `training` names the data
    by digest, never by content. `gate` is the gate's answer, where it was asked. `embedder` is the model of the pool
    whose embeddings it takes (empty: none), at `embedder_revision`.
    """

    version: int
    features: int
    arms: tuple[str, ...]
    pool: str
    pool_models: tuple[str, ...]
    training_digest: str
    training_tasks: int
    gpu_second_worth: float
    seed: int
    made_unix_s: float
    embedder: str = ""
    embedder_revision: str = ""
    feature_mean: tuple[float, ...] = ()
    """Of the counts in training, for telling drift."""
    feature_scale: tuple[float, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)


def stacked(vectors: Sequence[Vector]) -> NDArray[np.float32]:
    """Vectors as rows; no rows for none."""
    return np.stack(vectors) if vectors else np.zeros((0, SIZE), dtype=np.float32)
