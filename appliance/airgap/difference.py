"""What changed between two bundles. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.airgap.manifest import Entry, Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """Entries by what happened to them; of those that changed, as they are in the newer one."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    same_bytes: int


def difference(old: Manifest, new: Manifest) -> Difference:
    """From `old` to `new`, by path and digest."""
    before = {entry.path: entry for entry in old.entries}
    after = {entry.path: entry for entry in new.entries}
    common = [entry for path, entry in after.items() if path in before]
    return Difference(
        added=tuple(entry for path, entry in after.items() if path not in before),
        changed=tuple(entry for entry in common if entry.sha256 != before[entry.path].sha256),
        removed=tuple(entry for path, entry in before.items() if path not in after),
        same_bytes=sum(entry.size_bytes for entry in common if entry.sha256 == before[entry.path].sha256),
    )
