"""Names of the ways to answer that the house has; a configuration may name further ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DIRECT: Final = "direct"
CASCADE: Final = "cascade"
BEST_OF_N: Final = "best_of_n"
SELF_CONSISTENCY: Final = "self_consistency"
PLAN_EXECUTE_VERIFY: Final = "plan_execute_verify"
PLAN_EXECUTE: Final = "plan_execute"

BUILT_IN: Final = (DIRECT, CASCADE, BEST_OF_N, SELF_CONSISTENCY, PLAN_EXECUTE_VERIFY, PLAN_EXECUTE)
"""What `auto` may be answered with, without further configuration."""
PLANNED: Final = (PLAN_EXECUTE_VERIFY, PLAN_EXECUTE)
"""Those that need a planner and executors."""

PASSTHROUGH: Final = "passthrough"
"""What a caller gets who names a model; nothing else chooses it."""


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """What a learned head would answer a request with, and why. In `shadow` it stands on paper only."""

    strategy: str
    reason: str
    shadow: bool
