"""KV tokens that whole requests hold of the pool. Pure; one owner on one event loop, so nothing is promised twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class PoolAccount:
    """KV tokens held by model."""

    _held: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> Mapping[str, int]:
        """By model; models of which nothing is held are left out."""
        return {model_id: tokens for model_id, tokens in self._held.items() if tokens}

    def hold(self, kv_tokens: Mapping[str, int]) -> None:
        """Take them; the caller has seen that they are free in the same moment."""
        for model_id, tokens in kv_tokens.items():
            self._held[model_id] = self._held.get(model_id, 0) + tokens

    def release(self, kv_tokens: Mapping[str, int]) -> None:
        """Give them back."""
        for model_id, tokens in kv_tokens.items():
            left = self._held.pop(model_id, 0) - tokens
            if left > 0:
                self._held[model_id] = left
