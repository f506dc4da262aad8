"""Values along a line of pixels, with round ticks."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `least` to `most`, which is more, lie between the pixels `start` and `end`."""

    least: float
    most: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return self.start + (value - self.least) / (self.most - self.least) * (self.end - self.start)

    def within(self, value: float) -> float:
        """Where a value lies, or the end that it lies beyond."""
        return self.at(min(max(value, self.least), self.most))

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within it."""
        raw = (self.most - self.least) / count
        unit = 10.0 ** floor(log10(raw))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
        first = -(-self.least // step) * step
        return [first + step * i for i in range(count + 2) if first + step * i <= self.most + step * 1e-6]
