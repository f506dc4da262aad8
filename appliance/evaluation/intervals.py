"""Confidence intervals of shares. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

Z_95 = 1.96


def wilson_interval(count: int, total: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of a share in [0, 1] (Wilson 1927); (0, 1) when there is nothing to count."""
    if total == 0:
        return 0.0, 1.0
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # Rounding must not push the share itself out of its interval.
    return max(0.0, min(share, centre - spread)), min(1.0, max(share, centre + spread))


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself; 0 of nothing."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% interval."""
        return wilson_interval(self.count, self.of)

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"count": self.count, "of": self.of, "share": self.value, "interval_95": list(self.interval)}
