"""Names of the ways to answer that the house has; a configuration may name further ones."""

from __future__ import annotations

from typing import Final

DIRECT: Final = "direct"
PLAN_EXECUTE_VERIFY: Final = "plan_execute_verify"

BUILT_IN: Final = (DIRECT, PLAN_EXECUTE_VERIFY)
"""What `auto` may be answered with, without further configuration."""

PASSTHROUGH: Final = "passthrough"
"""What a caller gets who names a model; nothing else chooses it."""
