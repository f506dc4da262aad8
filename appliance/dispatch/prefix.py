"""Which engine has probably seen the beginning of a conversation: rendezvous hashing of its stable prefix. Pure.

What stays the same from turn to turn is everything up to the first message of the user, so it names the conversation.
Each engine gets a number from that name and its own; the order of these numbers is the order in which engines are at
home to it. Everybody who computes it comes to the same order, and an engine that comes or goes moves only those
conversations that it is, or was, at home to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

_CHARS = 2048
"""Of each text: long enough to tell conversations apart."""
_MASK = 2**64 - 1


def prefix_of_messages(cache_salt: str, messages: Sequence[Mapping[str, Any]]) -> int:
    """The name of a conversation. Engines share nothing between salts, so neither do names."""
    said = [cache_salt]
    for message in messages:
        said.append(str(message.get("content") or "")[:_CHARS])
        if message.get("role") == "user":
            break
    return _digest("\0".join(said))


def prefix_of_text(cache_salt: str, prompt: str) -> int:
    """The same of a plain prompt."""
    return _digest(f"{cache_salt}\0{prompt[:_CHARS]}")


def at_home(prefix: int, engine_ids: Sequence[str]) -> Mapping[str, float]:
    """Engine id → 1 for the one that is at home to the prefix, half for the next one in line, and so on."""
    order = sorted(engine_ids, key=lambda engine_id: _mixed(prefix ^ _number(engine_id)), reverse=True)
    return {engine_id: 0.5**rank for rank, engine_id in enumerate(order)}


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


@lru_cache(maxsize=4096)
def _number(engine_id: str) -> int:
    return _digest(engine_id)


def _mixed(value: int) -> int:
    """The finalizer of splitmix64 (https://prng.di.unimi.it/splitmix64.c): each bit in, half of the bits out."""
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
