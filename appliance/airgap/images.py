"""Archives of container images: are they of a form that can be loaded, and how are they loaded on the other side?"""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from appliance.airgap.manifest import BundledImage
from appliance.airgap.source import Source, from_file, tree
from appliance.errors import ContentRefused

_LARGEST_INDEX_BYTES = 4 << 20
_REF = "org.opencontainers.image.ref.name"
_NAME = "io.containerd.image.name"
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?\Z")


def read_image(path: Path) -> tuple[BundledImage, tuple[Source, ...]]:
    """An archive (OCI layout or `docker save`, not compressed) or a directory with an OCI layout.

    Raises ContentRefused with what is missing.
    """
    home = f"images/{path.name}"
    try:
        if path.is_dir():
            form, references = "oci", _oci_references(_from_directory(path, "index.json"))
            _from_directory(path, "oci-layout")
            sources = tuple(tree(home, path))
        else:
            form, references = _archive(path)
            sources = (from_file(home, path),)
        image = BundledImage.model_validate({"path": home, "form": form, "references": tuple(references)})
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise ContentRefused(
            f"{path}: is no image archive: {_reason(error)}; save it without compression, with "
            "`skopeo copy docker://NAME oci-archive:FILE` or `docker save`"
        ) from None
    return image, sources


def load_commands(images: Sequence[BundledImage], root: Path, registry: str) -> Iterator[tuple[str, ...]]:
    """One `skopeo` command for each name of each image. Raises ContentRefused for an impossible registry."""
    if not _REGISTRY.match(registry):
        raise ContentRefused(f"{registry}: is no registry; give HOST[:PORT][/PATH]")
    for image in images:
        source = f"{image.form}:{root / image.path}"
        for reference in image.references or (Path(image.path).stem,):
            yield (
                "skopeo",
                "copy",
                "--all",
                f"{source}{_which(image, reference)}",
                f"docker://{registry}/{_plain(reference)}",
            )


def shell_line(command: Sequence[str]) -> str:
    """For copying into a shell."""
    return shlex.join(command)


def _which(image: BundledImage, reference: str) -> str:
    """Archives with several images are told which one is meant."""
    return f":{reference}" if len(image.references) > 1 or image.form == "oci" else ""


def _plain(reference: str) -> str:
    """`registry.example/team/name:tag` → `team/name:tag`: the part that stays the same in another registry."""
    first, slash, rest = reference.partition("/")
    return rest if slash and ("." in first or ":" in first or first == "localhost") else reference


def _archive(path: Path) -> tuple[str, list[str]]:
    with tarfile.open(path, "r:") as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        if "oci-layout" in names and "index.json" in names:
            return "oci-archive", _oci_references(_member(archive, "index.json"))
        if "manifest.json" in names:
            document = json.loads(_member(archive, "manifest.json"))
            for image in document:
                missing = [name for name in (image["Config"], *image["Layers"]) if name not in names]
                if missing:
                    raise ValueError(f"{missing[0]} is missing")
            return "docker-archive", [tag for image in document for tag in image.get("RepoTags") or ()]
    raise ValueError("there is neither oci-layout and index.json nor manifest.json in it")


def _oci_references(index: bytes) -> list[str]:
    document: Any = json.loads(index)
    if not document["manifests"]:
        raise ValueError("index.json names no image")
    annotations = [manifest.get("annotations") or {} for manifest in document["manifests"]]
    return [name for a in annotations if (name := a.get(_NAME) or a.get(_REF))]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = next(m for m in archive.getmembers() if m.name.removeprefix("./") == name)
    file = archive.extractfile(member) if member.isreg() and member.size <= _LARGEST_INDEX_BYTES else None
    if file is None:
        raise ValueError(f"{name} is no file of a sensible size")
    return file.read()


def _from_directory(path: Path, name: str) -> bytes:
    with (path / name).open("rb") as file:
        return file.read(_LARGEST_INDEX_BYTES)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}"
    return f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
