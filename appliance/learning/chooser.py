"""A head at work: chooses for live requests, or on paper only, and turns itself off when they drift away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.domain.strategy import HeadChoice
from appliance.learning.drift import DriftWatch
from appliance.learning.features import COUNTS, HASHED, SIZE, features, part_seen
from appliance.learning.head import Card, Head

ARM_PREFIX: Final = "auto:"
"""Arms are targets of an evaluation run: the virtual model with a strategy."""


def strategy_of(arm: str) -> str:
    """The strategy of an arm."""
    return arm.rpartition(":")[2]


@dataclass(slots=True)
class LearnedChooser:
    """One head. `turned_off` is told the reason once, when drift ends its choosing."""

    head_id: str
    head: Head
    card: Card
    shadow: bool
    turned_off: Callable[[str], None] = lambda _reason: None
    embed_timeout_s: float = 0.25
    off: str = ""
    _watch: DriftWatch = field(init=False)

    def __post_init__(self) -> None:
        self._watch = DriftWatch(
            np.asarray(self.card.feature_mean or self.head.mean[HASHED:SIZE], dtype=np.float64),
            np.asarray(self.card.feature_scale or np.ones(len(COUNTS)), dtype=np.float64),
        )

    @property
    def embedder(self) -> str:
        """The model of the pool whose embedding of a prompt it takes; empty: it takes none, or is turned off."""
        return "" if self.off else self.card.embedder

    def embedded(self, text: str) -> str:
        """What of a prompt is to be embedded."""
        return part_seen(text)

    def choose(
        self, text: str, strategies: Collection[str], embedding: Sequence[float] = (), *, live: bool = True
    ) -> HeadChoice | None:
        """What the head would answer this prompt with, among `strategies`; None where it says nothing.

        It says nothing without the embedding that it was trained with. What is not `live` is only asked about, and says
        nothing of drift.
        """
        if self.off or len(embedding) != self.head.embedding_size:
            return None
        vector = features(text, embedding)
        if live:
            self._watch.seen(vector)
            if self._drifted():
                return None
        allowed = [arm for arm in self.head.arms if strategy_of(arm) in strategies]
        choice = self.head.choose(vector, allowed)
        if choice is None:
            return None
        strategy = strategy_of(choice.arm)
        reason = f"learned head {self.head_id}: {strategy} is ahead by {choice.lead:.3f}"
        return HeadChoice(strategy, reason, self.shadow)

    def ended(self, *, well: bool) -> None:
        """An answer that the head chose has ended."""
        if not self.off:
            self._watch.ended(well=well)
            self._drifted()

    def _drifted(self) -> bool:
        self.off = self._watch.reason()
        if self.off and not self.shadow:
            self.turned_off(self.off)
        return bool(self.off)
