"""Bundles and installed versions on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from appliance.airgap.difference import Difference
from appliance.airgap.manifest import Manifest
from appliance.airgap.versions import Installed
from appliance.cli.model_view import size


def created(out: Path, manifest: Manifest) -> str:
    """What was made, in a line."""
    carried = manifest.layout().size_bytes
    since = f", what changed since {manifest.base}" if manifest.base else ""
    return (
        f"{out}: {manifest.version_name}, {len(manifest.entries)} files, payload {size(carried)}{since}, "
        f"signed by {manifest.key_id}"
    )


def contents_table(manifest: Manifest) -> Table:
    """Rooms of a bundle with their sizes, then models and images."""
    table = Table(box=None, pad_edge=False, title=manifest.version_name, title_justify="left")
    for heading in ("", "files", "size", ""):
        table.add_column(heading, header_style="dim")
    for room in sorted({entry.path.partition("/")[0] for entry in manifest.entries}):
        entries = list(manifest.below(room))
        table.add_row(room, str(len(entries)), size(sum(entry.size_bytes for entry in entries)))
    for model in manifest.models:
        table.add_row("model", "", model.id, f"{model.repository} {model.revision[:19]} {model.licence}")
    for image in manifest.images:
        table.add_row("image", "", image.path, " ".join(image.references))
    return table


def versions_table(installed: Iterable[Installed]) -> Table:
    """One line a version."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "version", "installed", "signed by", "models"):
        table.add_column(heading, header_style="dim", no_wrap=heading != "models")
    for one in installed:
        when = datetime.fromtimestamp(one.record.installed_unix_s, UTC).isoformat(" ", "seconds")
        models = ", ".join(model.id for model in one.manifest.models)
        table.add_row("in use" if one.in_use else "", one.name, when, one.manifest.key_id, models)
    return table


def difference_lines(found: Difference) -> Iterator[str]:
    """A line for each file that is not the same."""
    for sign, entries in (("+", found.added), ("~", found.changed), ("-", found.removed)):
        for entry in entries:
            yield f"{sign} {entry.path}  {size(entry.size_bytes)}"
