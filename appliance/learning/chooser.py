"""A head at work: chooses for live requests, or on paper only, and turns itself off when they drift away."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.domain.strategy import HeadChoice
from appliance.learning.drift import DriftWatch
from appliance.learning.features import COUNTS, HASHED, features
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
    off: str = ""
    _watch: DriftWatch = field(init=False)

    def __post_init__(self) -> None:
        self._watch = DriftWatch(
            np.asarray(self.card.feature_mean or self.head.mean[HASHED:], dtype=np.float64),
            np.asarray(self.card.feature_scale or np.ones(len(COUNTS)), dtype=np.float64),
        )

    def choose(self, text: str, strategies: Collection[str], *, live: bool = True) -> HeadChoice | None:
        """What the head would answer this prompt with, among `strategies`; None where it says nothing.

        What is not `live` is only asked about, and says nothing of drift.
        """
        if self.off:
            return None
        vector = features(text)
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
