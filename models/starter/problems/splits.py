"""Which part of the data an operation belongs to: decided by a hash, so the parts are apart by construction."""

import hashlib
from functools import lru_cache
from typing import Literal

Split = Literal["train", "validation", "test"]

SHARES: tuple[tuple[Split, int], ...] = (("test", 25), ("validation", 5), ("train", 70))  # percent


@lru_cache(maxsize=1_000_000)
def split_of_key(key: str) -> Split:
    """The part that holds everything with this key."""
    bucket = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % 100
    for name, share in SHARES:
        if bucket < share:
            return name
        bucket -= share
    raise AssertionError("the shares add up to 100")
