"""Model files on disk: are they there, whole, harmless, and the approved ones?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.catalog.files import (
    Progress,
    files_below,
    read_config,
    read_json,
    read_tensors,
    refused,
    sha256,
    unheard,
)
from appliance.catalog.loader import EMBEDDED
from appliance.domain.model import Model, ModelFile
from appliance.errors import CatalogError

HASH_THREADS = 4
READ_BY_VLLM = frozenset({".gguf", ".jinja", ".json", ".model", ".safetensors", ".txt"})
"""A file of these kinds changes what the model does, so one that the manifest does not list is refused."""


def verify(model: Model, directory: Path, *, digests: bool = True) -> None:
    """Raise CatalogError, with the first problem and the number of others, unless `problems` finds none."""
    found = problems(model, directory, digests=digests)
    if found:
        more = f" (and {len(found) - 1} more; `appliance models verify` names all)" if len(found) > 1 else ""
        raise CatalogError(found[0] + more)


def problems(model: Model, directory: Path, *, digests: bool = True, progress: Progress = unheard) -> tuple[str, ...]:
    """Everything that keeps `directory` from holding exactly the files that the manifest approves, all sound.

    Each names the file and the way out, a file at most once. `digests` False checks everything but the hashes, and
    takes a manifest without a list of files. Blocks while it reads; hashing runs in a few threads and tells `progress`.
    """
    if not directory.is_dir():
        return (f"{model.model_id}: {directory} is missing; {_how_to_get(model)}",)
    if digests and not model.files:
        return (
            f"{model.model_id}: its manifest lists no files; approve those of {directory} with "
            "`python -m appliance.catalog.manifest STORE MANIFEST`, or set models.verify_digests: false",
        )
    found = _strangers(model, directory)
    sizes = {file.path: problem for file in model.files if (problem := _size_problem(model, directory, file))}
    found += sizes.values()
    found += _weights_problems(model, directory, set(sizes))
    if "config.json" not in sizes:
        found += _config_problem(model, directory)
    if digests:
        whole = [file for file in model.files if file.path not in sizes]
        found += _digest_problems(model, directory, whole, progress)
    return tuple(found)


def _strangers(model: Model, directory: Path) -> list[str]:
    """Files that may not be there: such as run code, links that lead out, and what nobody approved."""
    approved = {file.path for file in model.files}
    found = []
    for path in files_below(directory):
        listed = path.relative_to(directory).as_posix() in approved
        if problem := refused(path, directory):
            found.append(problem)
        elif approved and path.suffix.lower() in READ_BY_VLLM and not listed:
            found.append(f"{path}: is not in the manifest of {model.model_id}; remove it, or approve it there")
    return found


def _size_problem(model: Model, directory: Path, file: ModelFile) -> str:
    path = directory / file.path
    if not path.is_file():
        return f"{model.model_id}: {path} is missing; {_how_to_get(model)}"
    size = path.stat().st_size
    if size == file.size_bytes:
        return ""
    return (
        f"{model.model_id}: {path} has {size} bytes, the manifest says {file.size_bytes}: it is cut off or not the "
        f"approved file; {_how_to_get(model)}"
    )


def _weights_problems(model: Model, directory: Path, known: set[str]) -> Iterator[str]:
    """Headers that make no sense, of files with no problem yet; and no weights at all."""
    weights = [path for path in files_below(directory) if path.suffix == ".safetensors"]
    if not weights and not any(path.endswith(".safetensors") for path in known):
        yield f"{model.model_id}: {directory} holds no safetensors file; {_how_to_get(model)}"
    for path in weights:
        if path.relative_to(directory).as_posix() in known:
            continue
        try:
            read_tensors(path)
        except CatalogError as error:
            yield f"{model.model_id}: {error}; {_how_to_get(model)}"


def _config_problem(model: Model, directory: Path) -> Iterator[str]:
    try:
        architecture = read_config(directory).architecture
    except CatalogError as error:
        yield str(error)
        return
    if architecture != model.architecture:
        yield (
            f"{directory / 'config.json'}: architecture {architecture}, but the manifest of {model.model_id} says "
            f"{model.architecture}; correct one of them"
        )
    yield from _foreign_code(directory / "config.json")


def _foreign_code(path: Path) -> Iterator[str]:
    """`auto_map` may name a class of another repository; loaders have followed it in spite of their settings."""
    named = read_json(path).get("auto_map")
    for where, what in named.items() if isinstance(named, dict) else ():
        if "--" in str(what):
            yield f"{path}: auto_map.{where} names the code of another repository; take auto_map out"


def _digest_problems(model: Model, directory: Path, files: Sequence[ModelFile], progress: Progress) -> Iterator[str]:
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        digests = pool.map(lambda file: _digest(directory / file.path, progress), files)
        for file, digest in zip(files, digests, strict=True):
            path = directory / file.path
            if isinstance(digest, OSError):
                yield f"{path}: can't be read: {digest.strerror}"
            elif digest != file.sha256:
                yield (
                    f"{model.model_id}: {path} is not the approved file: its sha256 is {digest}, the manifest says "
                    f"{file.sha256}; {_how_to_get(model)}"
                )


def _digest(path: Path, progress: Progress) -> str | OSError:
    try:
        return sha256(path, progress)
    except OSError as error:
        return error


def _how_to_get(model: Model) -> str:
    if model.repository == EMBEDDED:
        return "restore it from the repository, or train it with `make starter-models`"
    return f"put revision {model.revision} of {model.repository} there"
