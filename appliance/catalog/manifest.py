"""Writes into a manifest what a model's directory says: files with digests, parameters, context, architecture.

    python -m appliance.catalog.manifest STORE MANIFEST…

`STORE` holds one directory per model id. What people write in a manifest stands above the marker line and is kept as
it is; below it stands all that they did not say themselves, written anew each time.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import yaml

from appliance.catalog.files import Progress, files_below, read_config, read_tensors, sha256, unheard
from appliance.catalog.loader import load_manifest
from appliance.domain.model import Model, ModelFile
from appliance.errors import ApplianceError, CatalogError

MARKER = "# Below this line: written by `python -m appliance.catalog.manifest`\n"
NOT_PART_OF_THE_MODEL = frozenset({".md"})
"""A model card may be corrected without making another model of it."""


def describe_files(directory: Path, progress: Progress = unheard) -> tuple[ModelFile, ...]:
    """Every file of the model with its size and digest, by path."""
    return tuple(
        ModelFile(path.relative_to(directory).as_posix(), path.stat().st_size, sha256(path, progress))
        for path in model_files(directory)
    )


def model_files(directory: Path) -> list[Path]:
    """The files that a manifest lists."""
    return [path for path in files_below(directory) if path.suffix not in NOT_PART_OF_THE_MODEL]


def revision_of(files: tuple[ModelFile, ...]) -> str:
    """A digest of all files: the revision of a model that has no other one."""
    listing = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return "sha256:" + hashlib.sha256(listing.encode()).hexdigest()


def refresh(manifest: Path, directory: Path) -> Model:
    """Rewrite the lower part of `manifest` from `directory`; the model as it is then. Raises CatalogError."""
    files = describe_files(directory)
    weights = [directory / file.path for file in files if file.path.endswith(".safetensors")]
    if not weights:
        raise CatalogError(f"{directory}: there is no safetensors file in it; train or copy the model first")
    facts = read_config(directory)
    lower = {
        "revision": revision_of(files),
        "architecture": facts.architecture,
        "parameters": sum(tensor.elements for path in weights for tensor in read_tensors(path).values()),
        "dtype": facts.dtype,
        "context_tokens": facts.context_tokens,
        "files": [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files],
    }
    upper = manifest.read_text(encoding="utf-8").partition(MARKER)[0]
    said = yaml.safe_load(upper) or {}
    lower = {key: value for key, value in lower.items() if key not in said}
    written = yaml.safe_dump(lower, sort_keys=False, width=120) if lower else ""
    manifest.write_text(upper + MARKER + written, encoding="utf-8")
    return load_manifest(manifest)


def main(arguments: list[str]) -> int:
    """Refresh the manifests that are named."""
    if len(arguments) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    store, *manifests = map(Path, arguments)
    try:
        for manifest in manifests:
            model = refresh(manifest, store / manifest.stem)
            sys.stdout.write(f"{manifest}: {model.parameters:,} parameters, {len(model.files)} files\n")
    except (ApplianceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
