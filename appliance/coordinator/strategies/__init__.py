"""Ways to answer, one per file; `default_strategies()` has them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Strategy(Protocol):
    """A way to answer a request."""


def default_strategies() -> Mapping[str, Strategy]:
    """All strategies of the house, by name."""
    return {}
