"""Model files on disk: which there are, and what they say without being loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from appliance.catalog.geometry import LENGTH_BYTES, ConfigFacts, Tensor, config_facts, header_length, tensors_of
from appliance.errors import CatalogError

CHUNK_BYTES = 1 << 20
REFUSED_SUFFIXES = frozenset({".bin", ".ckpt", ".h5", ".pickle", ".pkl", ".pt", ".pth", ".py", ".pyc", ".so"})
"""Formats that can run code when they are loaded. vLLM would take *.bin and *.pt where it finds no safetensors."""

Progress = Callable[[int], None]
"""Told of the bytes that were read since it was told last; from several threads."""


def unheard(size_bytes: int) -> None:
    """Progress that nobody looks at."""


def sha256(path: Path, progress: Progress = unheard) -> str:
    """Digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            progress(len(piece))
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


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object. Raises CatalogError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise CatalogError(f"{path}: it is no JSON object")
    return document


def read_config(directory: Path) -> ConfigFacts:
    """Facts from config.json. Raises CatalogError."""
    path = directory / "config.json"
    try:
        return config_facts(read_json(path))
    except ValueError as error:
        raise CatalogError(f"{path}: {error}") from None


def files_below(directory: Path) -> Iterator[Path]:
    """All files below a directory but hidden ones; links are given, not followed into other directories."""
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *(n for n in folders if (Path(folder) / n).is_symlink())]):
            if not name.startswith("."):
                yield Path(folder) / name


def refused(path: Path, home: Path) -> str:
    """Why a file may not lie in the model directory `home`; empty where it may."""
    if path.suffix.lower() in REFUSED_SUFFIXES:
        return f"{path}: {path.suffix} files can run code and are refused; keep safetensors only"
    if path.is_symlink() and not path.resolve().is_relative_to(home.resolve()):
        return f"{path}: is a link out of the model's directory; put the file itself there"
    return ""
