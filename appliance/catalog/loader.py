"""Manifests (YAML) → `Model`s; every error names the file, the key and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from appliance.catalog.architecture import geometry_from_config
from appliance.config import describe
from appliance.domain.endpoint import EngineTask
from appliance.domain.identifier import Identifier
from appliance.domain.model import Model, ModelFile, Role
from appliance.errors import CatalogError

EMBEDDED = "embedded"
"""`repository` of the models that come with this project."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Score = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FileEntry(_Part):
    """One approved file."""

    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")]
    """Path below the model's directory."""
    size_bytes: int = Field(ge=0)
    """Size."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256, hexadecimal."""


class Manifest(_Part):
    """One model of the catalog, as it stands in a file."""

    id: Identifier
    """Name of the model, and of its file and its directory in the store."""
    description: str = ""
    """What it is, in a sentence."""
    repository: Words
    """Hugging Face repository, or `embedded` for models of this project."""
    licence: Words
    """SPDX identifier."""
    publisher: Words
    """Who published the weights."""
    country: Words
    """Where the publisher is at home."""
    family: Words
    """Models of one family tend to share their mistakes."""
    task: EngineTask = EngineTask.GENERATE
    """What it makes of a prompt: `generate` text, `embed` it, or `rerank` documents by it."""
    reads_images: bool = False
    """Whether its engine takes images beside text."""
    roles: frozenset[Role] = frozenset()
    """Roles that it may play; none where it makes no text."""
    skills: dict[Identifier, Score] = Field(default_factory=dict)
    """Skill → prior score from 0 to 1."""
    prompt_set: Identifier | Literal[""] = ""
    """Templates that it understands; none where it makes no text."""
    revision: Words
    """Pinned revision of the repository, or the digest of the files."""
    architecture: Words
    """As in config.json."""
    parameters: int = Field(ge=1)
    """Number of parameters."""
    dtype: Words
    """Number format of the weights."""
    context_tokens: int = Field(ge=1)
    """Longest context."""
    files: tuple[FileEntry, ...] = ()
    """The approved files."""
    quantization: Words | None = None
    """Number format of the weights where it is not `dtype`: fp8, awq, gptq, mxfp4, nvfp4."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Keys of the published config.json that the geometry follows from."""
    tool_parser: Identifier | None = None
    """vLLM's `--tool-call-parser` for it."""
    reasoning_parser: Identifier | None = None
    """vLLM's `--reasoning-parser` for it."""
    source: str = ""
    """Where `config` and `parameters` were read, and when."""
    derived: frozenset[Words] = frozenset()
    """Fields that were not read from a source: reckoned, estimated, or not pinned."""

    @model_validator(mode="after")
    def _speaks_or_not(self) -> Self:
        speaks = self.task is EngineTask.GENERATE
        for name, said in (("roles", bool(self.roles)), ("prompt_set", bool(self.prompt_set))):
            if said is not speaks:
                raise ValueError(
                    f"{name}: " + ("at least one is needed" if speaks else f"a model to {self.task} has none")
                )
        return self

    @model_validator(mode="after")
    def _no_file_twice(self) -> Self:
        paths = [file.path for file in self.files]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"files: {path} stands twice")
        return self

    @model_validator(mode="after")
    def _derived_fields_exist(self) -> Self:
        unknown = sorted(name for name in self.derived if name.split(".")[0] not in type(self).model_fields)
        if unknown:
            raise ValueError(f"derived: there is no field {', '.join(unknown)}")
        return self

    def model(self) -> Model:
        """As a type of the house. Raises CatalogError where `config` does not make a geometry."""
        fields = self.model_dump(exclude={"id", "files", "config", "derived"})
        files = tuple(ModelFile(**file.model_dump()) for file in self.files)
        geometry = None
        if self.config:
            geometry = geometry_from_config({**self.config, "architectures": [self.architecture]}, self.parameters)
        return Model(model_id=self.id, files=files, geometry=geometry, derived=tuple(sorted(self.derived)), **fields)


def load_catalog(directory: Path) -> Mapping[str, Model]:
    """All models of a directory by id. Raises CatalogError."""
    if not directory.is_dir():
        raise CatalogError(f"{directory}: no such directory of manifests; set models.catalog to one")
    models = {}
    for path in sorted(directory.glob("*.yaml")):
        model = load_manifest(path)
        models[model.model_id] = model
    if not models:
        raise CatalogError(f"{directory}: there is no manifest (*.yaml) in it; set models.catalog to one that has some")
    return models


def load_manifest(path: Path) -> Model:
    """One manifest. Raises CatalogError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(document)
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise CatalogError(f"{path}: {describe(error)}") from None
    if manifest.id != path.stem:
        raise CatalogError(f"{path}: id: {manifest.id} is not the file's name; rename one of them")
    try:
        return manifest.model()
    except CatalogError as error:
        raise CatalogError(f"{path}: config: {error}") from None


def find(catalog: Mapping[str, Model], model_id: str) -> Model:
    """A model by id. Raises CatalogError that names the known ones."""
    try:
        return catalog[model_id]
    except KeyError:
        known = ", ".join(sorted(catalog))
        raise CatalogError(
            f"{model_id} is not in the catalog; add a manifest for it, or take one of: {known}"
        ) from None


def weights_bytes(model: Model) -> int:
    """Size of the weights by the manifest; two bytes a parameter where it lists no files."""
    listed = sum(file.size_bytes for file in model.files if file.path.endswith(".safetensors"))
    return listed or 2 * model.parameters
