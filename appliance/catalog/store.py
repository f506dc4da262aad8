"""Model files on disk: are they there, whole, harmless, and the approved ones?"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.catalog.geometry import LENGTH_BYTES, ConfigFacts, Tensor, config_facts, header_length, tensors_of
from appliance.catalog.loader import EMBEDDED
from appliance.domain.model import Model, ModelFile
from appliance.errors import CatalogError

CHUNK_BYTES = 1 << 20
HASH_THREADS = 4
REFUSED_SUFFIXES = frozenset({".bin", ".ckpt", ".h5", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so"})
"""Formats that can run code when they are loaded. vLLM would take *.bin and *.pt where it finds no safetensors."""
READ_BY_VLLM = frozenset({".gguf", ".jinja", ".json", ".model", ".safetensors", ".txt"})
"""A file of these kinds changes what the model does, so one that the manifest does not list is refused."""


def verify(model: Model, directory: Path, *, digests: bool = True) -> None:
    """Raise CatalogError unless `directory` holds exactly the files that the manifest approves, all sound.

    `digests` False checks everything but the hashes, and takes a manifest without a list of files. Blocks while it
    reads; hashing runs in a few threads.
    """
    if not directory.is_dir():
        raise CatalogError(f"{model.model_id}: {directory} is missing; {_how_to_get(model)}")
    if digests and not model.files:
        raise CatalogError(
            f"{model.model_id}: its manifest lists no files; approve those of {directory} with "
            "`python -m appliance.catalog.manifest STORE MANIFEST`, or set models.verify_digests: false"
        )
    _refuse_strangers(model, directory)
    for file in model.files:
        _check_size(model, directory, file)
    weights = [path for path in files_below(directory) if path.suffix == ".safetensors"]
    if not weights:
        raise CatalogError(f"{model.model_id}: {directory} holds no safetensors file; {_how_to_get(model)}")
    for path in weights:
        _check_weights(model, path)
    _check_config(model, directory)
    if digests:
        _check_digests(model, directory)


def sha256(path: Path) -> str:
    """Digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file, by its header alone. Raises CatalogError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = header_length(file.read(LENGTH_BYTES), size)
            return tensors_of(file.read(length), size)
    except OSError as error:
        raise CatalogError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from None


def read_config(directory: Path) -> ConfigFacts:
    """Facts from config.json. Raises CatalogError."""
    path = directory / "config.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
        return config_facts(document)
    except OSError as error:
        raise CatalogError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from None


def files_below(directory: Path) -> Iterator[Path]:
    """All files below a directory but hidden ones; links are given, not followed into other directories."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *(n for n in folders if (Path(folder) / n).is_symlink())]):
            if not name.startswith("."):
                yield Path(folder) / name


def _refuse_strangers(model: Model, directory: Path) -> None:
    approved = {file.path for file in model.files}
    home = directory.resolve()
    for path in files_below(directory):
        if path.suffix.lower() in REFUSED_SUFFIXES:
            raise CatalogError(f"{path}: {path.suffix} files can run code and are refused; keep safetensors only")
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise CatalogError(f"{path}: is a link out of the model's directory; put the file itself there")
        listed = path.relative_to(directory).as_posix() in approved
        if approved and path.suffix.lower() in READ_BY_VLLM and not listed:
            raise CatalogError(f"{path}: is not in the manifest of {model.model_id}; remove it, or approve it there")


def _check_size(model: Model, directory: Path, file: ModelFile) -> None:
    path = directory / file.path
    if not path.is_file():
        raise CatalogError(f"{model.model_id}: {path} is missing; {_how_to_get(model)}")
    size = path.stat().st_size
    if size != file.size_bytes:
        raise CatalogError(
            f"{model.model_id}: {path} has {size} bytes, the manifest says {file.size_bytes}: it is cut off or not the "
            f"approved file; {_how_to_get(model)}"
        )


def _check_weights(model: Model, path: Path) -> None:
    try:
        read_tensors(path)
    except CatalogError as error:
        raise CatalogError(f"{model.model_id}: {error}; {_how_to_get(model)}") from None


def _check_config(model: Model, directory: Path) -> None:
    architecture = read_config(directory).architecture
    if architecture != model.architecture:
        raise CatalogError(
            f"{directory / 'config.json'}: architecture {architecture}, but the manifest of {model.model_id} says "
            f"{model.architecture}; correct one of them"
        )


def _check_digests(model: Model, directory: Path) -> None:
    paths = [directory / file.path for file in model.files]
    try:
        with ThreadPoolExecutor(HASH_THREADS) as pool:
            found = list(pool.map(sha256, paths))
    except OSError as error:
        raise CatalogError(f"{error.filename}: can't be read: {error.strerror}") from None
    for path, digest, file in zip(paths, found, model.files, strict=True):
        if digest != file.sha256:
            raise CatalogError(
                f"{model.model_id}: {path} is not the approved file: its sha256 is {digest}, the manifest says "
                f"{file.sha256}; {_how_to_get(model)}"
            )


def _how_to_get(model: Model) -> str:
    if model.repository == EMBEDDED:
        return "restore it from the repository, or train it with `make starter-models`"
    return f"put revision {model.revision} of {model.repository} there"
