"""A call as a simulated engine holds it. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Sequence:
    """One call. `stops` are the counts of tokens that somebody waits for, in ascending order; the last one ends it.

    `owner` is whoever sent it. The first `shared_tokens` of the prompt are the same for all calls with this `prefix`.
    The rest is the engine's: tokens made (as of `turn`), prompt tokens still to be computed, blocks of the KV cache
    that it shares, and those that it will need of its own.
    """

    owner: object
    prompt: int
    stops: tuple[int, ...]
    prefix: Hashable = None
    shared_tokens: int = 0
    next_stop: int = 0
    made: int = 0
    turn: int = 0
    number: int = 0
    computed: int = 0
    left: int = 0
    shared_blocks: int = 0
    own_blocks: int = 0
    decoding: bool = False

    @property
    def completion(self) -> int:
        """Tokens of the whole answer."""
        return self.stops[-1]
