"""The models of a pool: their manifests and files, if all of them may be in a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from appliance.airgap.approval import remote_code
from appliance.airgap.hub import COMMIT
from appliance.airgap.manifest import BundledModel
from appliance.airgap.source import Source, from_file, made
from appliance.catalog.files import files_below
from appliance.catalog.loader import EMBEDDED
from appliance.catalog.manifest import describe_files, revision_of
from appliance.catalog.store import problems
from appliance.domain.model import Model
from appliance.errors import ContentRefused

Fetch = Callable[[Model, Path], None]
"""Put a model's files into a directory."""


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model as it goes into a bundle: with the list of its files, whatever its manifest said before."""

    model: Model
    sources: tuple[Source, ...]

    @property
    def named(self) -> BundledModel:
        """For the manifest of the bundle."""
        model = self.model
        return BundledModel(
            id=model.model_id, repository=model.repository, revision=model.revision, licence=model.licence
        )


def packed_model(model: Model, catalog: Path, store: Path, licences: Sequence[str], fetch: Fetch) -> PackedModel:
    """Files from the store, fetched into it where they are missing. Raises ContentRefused, BundleError."""
    if model.licence not in licences:
        raise ContentRefused(
            f"{model.model_id}: its licence {model.licence} is not in bundle.licences ({', '.join(licences)}); "
            "add it there if it is allowed"
        )
    _require_pinned(model)
    directory = store / model.model_id
    if model.repository != EMBEDDED and _missing(model, directory):
        fetch(model, directory)
    if found := (*problems(model, directory, digests=False), *remote_code(directory)):
        raise ContentRefused(found[0])
    content = (catalog / f"{model.model_id}.yaml").read_bytes()
    if not model.files:
        model, content = _approved(model, content, directory)
    return PackedModel(model, tuple(_sources(model, content, directory)))


def _require_pinned(model: Model) -> None:
    if model.repository == EMBEDDED:
        pinned = bool(model.files) and model.revision == revision_of(model.files)
    else:
        pinned = COMMIT.match(model.revision) is not None and "revision" not in model.derived
    if not pinned:
        raise ContentRefused(
            f"{model.model_id}: revision {model.revision} is not pinned; write the commit (40 hexadecimal digits) of "
            f"{model.repository} into its manifest, or the digest of its files for an embedded model"
        )


def _missing(model: Model, directory: Path) -> bool:
    names = [file.path for file in model.files] or ["config.json"]
    return not all((directory / name).is_file() for name in names)


def _approved(model: Model, manifest: bytes, directory: Path) -> tuple[Model, bytes]:
    """The model, and its manifest, with the files as they are: the signature of the bundle approves them."""
    files = describe_files(directory)
    document = {**yaml.safe_load(manifest), "files": [asdict(file) for file in files]}
    head = "# The list of files was made with the bundle, whose signature approves it.\n"
    content = head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return replace(model, files=files), content.encode()


def _sources(model: Model, manifest: bytes, directory: Path) -> Iterator[Source]:
    """The manifest, the listed files, and the model's card."""
    yield made(f"catalog/{model.model_id}.yaml", manifest)
    home = f"models/{model.model_id}"
    for file in model.files:
        yield from_file(f"{home}/{file.path}", directory / file.path, file.sha256)
    listed = {file.path for file in model.files}
    for path in files_below(directory):
        name = path.relative_to(directory).as_posix()
        if name not in listed and path.suffix == ".md":
            yield from_file(f"{home}/{name}", path)
