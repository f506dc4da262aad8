"""KV tokens that whole requests hold of the pool. Pure; one owner on one event loop, so nothing is promised twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class PoolAccount:
    """KV tokens held by model."""

    _held: Counter[str] = field(default_factory=Counter)

    @property
    def held(self) -> Mapping[str, int]:
        """By model; models of which nothing is held are left out."""
        return dict(self._held)

    def hold(self, kv_tokens: Mapping[str, int]) -> None:
        """Take them; the caller has seen that they are free in the same moment."""
        self._held.update(kv_tokens)

    def release(self, kv_tokens: Mapping[str, int]) -> None:
        """Give them back."""
        self._held.subtract(kv_tokens)
        self._held = +self._held
