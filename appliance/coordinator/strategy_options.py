"""Settings of the strategies that draw several answers, as plain frozen values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class CascadeOptions:
    """`models` from small to large; none: the generalists, the least preferred first.

    An answer is taken at `min_confidence`; None: where the verifier's own threshold lets it pass. `then` is the
    strategy for what no model's answer passed; None: the last model's answer is taken as it comes.
    """

    models: tuple[str, ...] = ()
    min_confidence: float | None = None
    then: str | None = None


@dataclass(frozen=True, slots=True)
class BestOfNOptions:
    """`candidates` answers, `parallel` at once; one that passes with probability `stop_at` ends the drawing.

    The first is drawn at the generalist's own temperature, the others at `temperature`. `models` take turns; none: the
    generalists, in their order of preference.
    """

    candidates: int = 4
    parallel: int = 4
    temperature: float = 0.7
    stop_at: float = 0.9
    models: tuple[str, ...] = ()

    def times(self, factor: float) -> BestOfNOptions:
        """With `factor` times as many candidates, rounded up."""
        return replace(self, candidates=math.ceil(self.candidates * factor))


@dataclass(frozen=True, slots=True)
class SelfConsistencyOptions:
    """Up to `samples` answers at `temperature`, of which the most frequent one wins; `models` as in BestOfNOptions."""

    samples: int = 5
    temperature: float = 0.7
    models: tuple[str, ...] = ()

    def times(self, factor: float) -> SelfConsistencyOptions:
        """With `factor` times as many samples, rounded up."""
        return replace(self, samples=math.ceil(self.samples * factor))
