"""What may not be in a bundle, whoever signed it: code in model directories, and weights that no manifest approves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from appliance.airgap.manifest import Manifest
from appliance.catalog.files import REFUSED_SUFFIXES, files_below
from appliance.catalog.loader import find, load_catalog
from appliance.catalog.store import problems
from appliance.errors import CatalogError, ContentRefused

LARGEST_JSON_BYTES = 32 << 20


def require_harmless(manifest: Manifest) -> None:
    """Raise ContentRefused where the list itself names a file that can run code in a model's directory."""
    for entry in manifest.below("models"):
        if PurePosixPath(entry.path).suffix.lower() in REFUSED_SUFFIXES:
            raise ContentRefused(f"{entry.path}: such files can run code and are refused; keep safetensors only")


def require_approved(root: Path, manifest: Manifest) -> None:
    """Raise ContentRefused unless each model below `root` is the one that its manifest there approves."""
    if not manifest.models:
        return
    listed = {entry.path: entry.sha256 for entry in manifest.entries}
    try:
        catalog = load_catalog(root / "catalog")
        for named in manifest.models:
            model = find(catalog, named.id)
            if (model.revision, model.licence, model.repository) != (named.revision, named.licence, named.repository):
                raise ContentRefused(f"{named.id}: its manifest is not of the revision, licence and repository listed")
            for file in model.files:
                if listed.get(f"models/{named.id}/{file.path}") != file.sha256:
                    raise ContentRefused(f"models/{named.id}/{file.path}: is not the file that its manifest approves")
            found = (
                *problems(model, root / "models" / named.id, digests=False),
                *remote_code(root / "models" / named.id),
            )
            if found:
                raise ContentRefused(found[0])
    except CatalogError as error:
        raise ContentRefused(str(error)) from None


def remote_code(directory: Path) -> Iterator[str]:
    """Settings that name code to load with the model, perhaps from another repository."""
    for path in files_below(directory):
        if path.suffix != ".json" or not path.is_file() or path.stat().st_size > LARGEST_JSON_BYTES:
            continue
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            yield f"{path}: is no JSON; fetch it again"
            continue
        if isinstance(document, dict) and "auto_map" in document:
            yield f"{path}: auto_map names code to run with the model; take a repository that needs none"
