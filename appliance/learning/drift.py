"""Tells when requests, or how their answers end, are no longer like those that a head was trained on. Pure.

The counts among the features are averaged over the last requests (exponentially). A count whose average lies further
from that of the training than MOST_APART of its spread there is drift; so is a share of failed answers above
MOST_FAILED among those that the head chose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from appliance.learning.features import COUNTS, HASHED, SIZE, Vector

LEAST_REQUESTS: Final = 200
"""Before so many nothing is said."""
MOST_APART: Final = 1.0
MOST_FAILED: Final = 0.2
_WINDOW: Final = 400


@dataclass(slots=True)
class DriftWatch:
    """Of one head; `mean` and `scale` are those of the counts in training."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    requests: int = 0
    answers: int = 0
    _average: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(COUNTS)))
    _failed: float = 0.0

    def seen(self, vector: Vector) -> None:
        """A request with these features came."""
        self.requests += 1
        share = 1 / min(self.requests, _WINDOW)
        self._average += share * (vector[HASHED:SIZE] - self._average)

    def ended(self, *, well: bool) -> None:
        """An answer that the head chose ended; not well: by fallback or with an error."""
        self.answers += 1
        self._failed += (float(not well) - self._failed) / min(self.answers, _WINDOW)

    def reason(self) -> str:
        """What has drifted; empty where nothing has, or too little was seen."""
        if self.answers >= LEAST_REQUESTS and self._failed > MOST_FAILED:
            return f"{self._failed:.0%} of the last answers that it chose failed or fell back"
        if self.requests < LEAST_REQUESTS:
            return ""
        apart = np.abs(self._average - self.mean) / self.scale
        place = int(apart.argmax())
        if apart[place] <= MOST_APART:
            return ""
        return f"requests are not like those of the training: {COUNTS[place]} is {apart[place]:.1f} spreads away"
