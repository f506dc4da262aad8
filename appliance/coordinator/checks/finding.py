"""What one check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` names the check. `reason` says what is wrong, for a repair, and may quote contents; empty: nothing is."""

    rule: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the result passes this check, which need not mean that it is right."""
        return not self.reason
