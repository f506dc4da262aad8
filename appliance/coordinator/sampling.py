"""Sampling fields of a call, and seeds that are the same for the same request. Pure."""

from __future__ import annotations

import hashlib
from typing import Any


def sampled(temperature: float, seed: int) -> dict[str, Any]:
    """Request fields for a temperature; the seed is left out where nothing is sampled."""
    return {"temperature": temperature, "seed": seed} if temperature > 0 else {"temperature": 0.0}


def seed_of(base: int | str, task_id: str, attempt: int) -> int:
    """A 31-bit seed, distinct for each task and attempt, that only depends on its arguments."""
    digest = hashlib.sha256(f"{base}\0{task_id}\0{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
