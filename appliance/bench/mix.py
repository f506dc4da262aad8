"""A mix of kinds of requests, from which dialogues are drawn by their number. Pure; `seed` decides every draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from appliance.bench.dialogue import Dialogue, Message
from appliance.bench.lengths import Lengths, text


@dataclass(frozen=True, slots=True)
class Given:
    """Texts of a file, any of which may be asked."""

    texts: tuple[str, ...]

    def draw(self, chance: np.random.Generator) -> str:
        """One of them."""
        return self.texts[int(chance.integers(0, len(self.texts)))]


@dataclass(frozen=True, slots=True)
class Generated:
    """Texts of drawn lengths, no two alike."""

    lengths: Lengths
    tokens_per_word: float

    def draw(self, chance: np.random.Generator) -> str:
        """A new one."""
        return text(self.lengths.draw(chance), chance, tokens_per_word=self.tokens_per_word)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. `prefixes` are system texts of which each dialogue has one: many share each of them."""

    name: str
    weight: float
    model: str
    prompts: Given | Generated
    orchestrated: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: Lengths | None = None
    stream: bool = True
    turns: int = 1
    think_s: float = 0.0
    prefixes: tuple[str, ...] = ()

    def dialogue(self, chance: np.random.Generator) -> Dialogue:
        """One of this kind."""
        opening: list[Message] = []
        if self.prefixes:
            opening.append({"role": "system", "content": self.prefixes[int(chance.integers(0, len(self.prefixes)))]})
        asked: list[Message] = [{"role": "user", "content": self.prompts.draw(chance)} for _ in range(self.turns)]
        fields = dict(self.fields)
        if self.max_tokens is not None:
            fields["max_tokens"] = self.max_tokens.draw(chance)
        turns = ((*opening, asked[0]), *((message,) for message in asked[1:]))
        return Dialogue(self.name, self.model, turns, self.orchestrated, fields, self.stream, self.think_s)


class Mix:
    """Kinds by their weights. Number 7 is the same dialogue whoever asks for it, and whatever came before."""

    def __init__(self, kinds: Sequence[Kind], seed: int) -> None:
        self._kinds, self._seed = tuple(kinds), seed
        weights = np.asarray([kind.weight for kind in kinds], dtype=np.float64)
        self._bounds = np.cumsum(weights / weights.sum())

    def dialogue(self, index: int) -> Dialogue:
        """The dialogue of this number."""
        chance = np.random.default_rng((self._seed, index))
        which = min(int(np.searchsorted(self._bounds, chance.random(), side="right")), len(self._kinds) - 1)
        return self._kinds[which].dialogue(chance)
