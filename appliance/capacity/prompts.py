"""Prompts of a wanted length that no cache knows: letters and digits drawn anew for each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LETTERS = tuple("ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
PROBES = (16, 96)
"""Letters of the two prompts that tell how many tokens a model's letters make."""


def letters(count: int, seed: int) -> str:
    """So many of them, each between spaces."""
    return " ".join(np.random.default_rng(seed).choice(_LETTERS, max(1, count)).tolist())


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a chat with so many letters: `template` of the model's own, and `each` for a letter."""

    template: float
    each: float

    def letters_for(self, tokens: int) -> int:
        """How many letters make about so many tokens; one at least."""
        return max(1, round((tokens - self.template) / self.each))


def tokens_of(counted: tuple[int, int]) -> Tokens:
    """From the tokens of the two `PROBES`."""
    short, long = PROBES
    each = max(0.1, (counted[1] - counted[0]) / (long - short))
    return Tokens(counted[0] - short * each, each)
