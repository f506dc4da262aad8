"""The list of everything that is in a bundle, as it is signed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from appliance.airgap import paths
from appliance.airgap.tar_form import Layout, Member, layout
from appliance.domain.identifier import Identifier
from appliance.errors import ManifestInvalid

VERSION = 1
LARGEST_BYTES = 64 << 20
"""A list of some hundred thousand files is smaller than this; nothing larger is read."""
ID_LENGTH = 16

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+:/@-]{0,511}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
BundleId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Entry(_Part):
    """One file. `in_base` where a differential bundle leaves it out because its base has it."""

    path: str
    size_bytes: int = Field(ge=0, le=1 << 53)
    sha256: Sha256
    in_base: bool = False

    @model_validator(mode="after")
    def _harmless(self) -> Self:
        if problem := paths.problem(self.path):
            raise ValueError(f"the path {self.path[:80]!r} is refused: {problem}")
        return self


class BundledModel(_Part):
    """What an auditor asks first about a model."""

    id: Identifier
    repository: str
    revision: str
    licence: str


class BundledImage(_Part):
    """A container image: its archive, or directory, below the bundle, its form, and the names it bears."""

    path: str
    form: Literal["oci-archive", "oci", "docker-archive"]
    references: tuple[Word, ...]


class Manifest(_Part):
    """Everything that is in a bundle, in the order of the payload."""

    version: Literal[1] = 1
    name: Identifier
    appliance: Word
    key_id: KeyId
    base: BundleId | None = None
    models: tuple[BundledModel, ...] = ()
    images: tuple[BundledImage, ...] = ()
    entries: tuple[Entry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problem = next(paths.collisions(entry.path for entry in self.entries), "")
        if problem:
            raise ValueError(problem)
        if self.base is None and any(entry.in_base for entry in self.entries):
            raise ValueError("entries are in a base, but no base is named")
        return self

    def to_bytes(self) -> bytes:
        """As it is written and signed: the same bytes for the same contents."""
        document = {"version": self.version, **self.model_dump(exclude_defaults=True)}
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    @property
    def bundle_id(self) -> str:
        """The name that follows from the contents."""
        return sha256(self.to_bytes()).hexdigest()[:ID_LENGTH]

    @property
    def version_name(self) -> str:
        """Name of the directory that it is installed in."""
        return f"{self.name}-{self.bundle_id}"

    @property
    def carried(self) -> tuple[Entry, ...]:
        """The entries whose bytes are in the payload."""
        return tuple(entry for entry in self.entries if not entry.in_base)

    def layout(self) -> Layout:
        """Where each carried entry lies in the payload, in the order of `carried`."""
        return layout(Member(entry.path, entry.size_bytes) for entry in self.carried)

    def below(self, room: str) -> Iterator[Entry]:
        """Entries whose paths begin with `room/`."""
        return (entry for entry in self.entries if entry.path.startswith(f"{room}/"))


def read_manifest(content: bytes) -> Manifest:
    """A manifest from its bytes, whose signature was checked before. Raises ManifestInvalid."""
    try:
        document = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"the list of contents is no JSON: {error}") from None
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION or isinstance(version, bool):
        raise ManifestInvalid(
            f"the bundle is of version {version!r}, and this appliance reads version {VERSION}; "
            "verify it with the appliance that made it"
        )
    try:
        # From JSON, not from the document: in strict mode only JSON's lists are tuples.
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ManifestInvalid(f"the list of contents is refused: {_first(error)}") from None
    if manifest.to_bytes() != content:
        raise ManifestInvalid("the list of contents is not written as this appliance writes it; make the bundle anew")
    return manifest


def _first(error: ValidationError) -> str:
    """The first problem with its key; the list may be as long as an attacker likes."""
    problem = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part)[:80] for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)
