"""Retries are a share of what is asked: when much fails, trying everything twice would be the rest of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RetryBudget:
    """Each call pays in `share` of a retry, up to `most` of them; each retry takes one out. It begins full."""

    share: float = 0.1
    most: float = 10.0
    _left: float = field(init=False)

    def __post_init__(self) -> None:
        self._left = self.most

    def paid_in(self) -> None:
        """A call was asked for."""
        left = self._left + self.share
        self._left = left if left < self.most else self.most

    def take(self) -> bool:
        """Whether one retry may be made; it is counted then."""
        if self._left < 1.0 - 1e-9:
            return False
        self._left -= 1.0
        return True
