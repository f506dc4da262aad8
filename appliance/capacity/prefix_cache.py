"""Which prompts' common beginnings an engine still has in its KV cache. Pure.

vLLM keeps blocks that nobody uses in a queue and takes new ones from the end that was free the longest; what a call
leaves goes to the other end, the beginning of its prompt last. So of a prefix that nobody uses as many blocks are left
as are free beyond those that were handed out since.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Entry:
    blocks: int
    users: int = 0
    freed_at: int = 0


@dataclass(slots=True)
class PrefixCache:
    """The prefixes of one engine. `in_use` blocks belong to prefixes that running calls share."""

    in_use: int = 0
    _handed_out: int = 0
    _entries: dict[Hashable, _Entry] = field(default_factory=dict)

    def used_blocks(self, prefix: Hashable) -> int:
        """Its blocks, where a running call has it; else 0."""
        entry = self._entries.get(prefix)
        return entry.blocks if entry is not None and entry.users else 0

    def known_blocks(self, prefix: Hashable, free: int) -> int:
        """How many of its blocks need not be computed; `free` blocks are promised to nobody."""
        entry = self._entries.get(prefix)
        if entry is None:
            return 0
        return entry.blocks if entry.users else max(0, min(entry.blocks, free - self._handed_out + entry.freed_at))

    def take(self, prefix: Hashable, blocks: int) -> None:
        """One more call uses it; what is not known of it is computed by this call, for all that follow."""
        entry = self._entries.get(prefix)
        if entry is None:
            entry = self._entries[prefix] = _Entry(blocks)
        if not entry.users:
            entry.blocks = blocks
            self.in_use += blocks
        entry.users += 1

    def leave(self, prefix: Hashable) -> None:
        """One call less; its blocks stay until others need the room."""
        entry = self._entries[prefix]
        entry.users -= 1
        if not entry.users:
            self.in_use -= entry.blocks
            entry.freed_at = self._handed_out

    def hand_out(self, blocks: int) -> None:
        """Blocks went to a call of its own."""
        self._handed_out += blocks
