"""A manifest for a model that lies in a local directory: what its files say, and what a person has to add."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from appliance.catalog.architecture import geometry_from_config
from appliance.catalog.config_keys import needed_keys, quantization_of
from appliance.catalog.files import Progress, files_below, read_config, read_json, read_tensors, refused, unheard
from appliance.catalog.loader import Manifest
from appliance.catalog.manifest import describe_files, revision_of
from appliance.config import describe
from appliance.domain.geometry import Geometry
from appliance.domain.model import Model, Role
from appliance.errors import CatalogError

UNKNOWN = "unknown"
SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
}
"""The Hub's names of licences → SPDX; others become LicenseRef-NAME."""
INDEX = "model.safetensors.index.json"
LEAST_SHARE = 0.9
MOST_SHARE = 1.5
"""Files hold between these shares of the parameters that config.json describes: heads may be stored twice, and layers
for speculation come on top."""
HEAD = """\
# Written by `appliance models add` from the files of the model. Correct what stands under `derived`: nobody read it
# from a source. `skills` are priors from 0 to 1, to be replaced by an evaluation of one's own.
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A manifest that is sound, as text and as a model."""

    text: str
    model: Model


def draft(directory: Path, said: Mapping[str, Any], progress: Progress = unheard) -> Draft:
    """The manifest of the model in `directory`; `said` are fields that a person gave, such as id or licence.

    Reads every file once for its digest. Raises CatalogError that names the file and all that is wrong with it.
    """
    directory = directory.resolve()
    if not directory.is_dir():
        raise CatalogError(f"{directory}: no such directory; name one with config.json and *.safetensors")
    _refuse(directory)
    document = _document(directory, said)
    _model(document)  # what is wrong should be said before hundreds of gigabytes are read
    files = describe_files(directory, progress)
    document["revision"] = revision_of(files)
    document["files"] = [{"path": f.path, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files]
    return Draft(HEAD + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True), _model(document))


def publish(text: str, catalog: Path, model_id: str) -> Path:
    """Put a manifest into the catalog, whole or not at all, never in the place of another. Raises CatalogError."""
    path = catalog / f"{model_id}.yaml"
    part = catalog / f".{model_id}.yaml.{os.getpid()}.part"
    try:
        part.write_text(text, encoding="utf-8")
        os.link(part, path)
    except FileExistsError:
        raise CatalogError(_taken(path, model_id)) from None
    except OSError as error:
        raise CatalogError(f"{path}: can't be written: {error.strerror}; see models.catalog") from None
    finally:
        part.unlink(missing_ok=True)
    return path


def refuse_taken(catalog: Path, model_id: str) -> None:
    """Before the files are read: there must be no such manifest. Raises CatalogError."""
    path = catalog / f"{model_id}.yaml"
    if path.exists():
        raise CatalogError(_taken(path, model_id))


def id_of(directory: Path) -> str:
    """An id from the directory's name."""
    return re.sub(r"[^a-z0-9._-]+", "-", directory.resolve().name.lower()).strip("-._")[:63] or "model"


def _document(directory: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without its files, from config.json, the card and the headers of the weights."""
    facts, config = read_config(directory), read_json(directory / "config.json")
    elements = _elements(directory)
    try:
        quantization = quantization_of(config)
        shape = geometry_from_config(config)
        parameters = shape.shape_parameters if quantization else elements
        keys = needed_keys(config, parameters)
    except CatalogError as error:
        raise CatalogError(f"{directory}: {error}") from None
    if not quantization:
        _compare(directory, elements, shape)
    licence = _card_licence(directory)
    read = {"licence": licence} if licence else {}
    guessed = {**_guessed(directory, config), **({"parameters": parameters} if quantization else {})}
    return {
        **guessed,
        **read,
        **{key: value for key, value in said.items() if value},
        "revision": UNKNOWN,
        "architecture": facts.architecture,
        "parameters": parameters,
        "dtype": facts.dtype,
        "context_tokens": facts.context_tokens,
        **({"quantization": quantization} if quantization else {}),
        "config": keys,
        "source": f"config.json and safetensors headers in {directory.name}",
        "derived": sorted(key for key in guessed if key not in read and not said.get(key) and key != "id"),
    }


def _taken(path: Path, model_id: str) -> str:
    return f"{path}: id: {model_id} is in the catalog already; choose another with --id, or remove that file"


def _compare(directory: Path, elements: int, shape: Geometry) -> None:
    """Refuse files that can't be those of the shape; encoders for pictures or sound are not reckoned exactly."""
    least, most = shape.shape_parameters - shape.vision_parameters, shape.shape_parameters
    if elements >= LEAST_SHARE * least and (shape.vision_parameters or elements <= MOST_SHARE * most):
        return
    raise CatalogError(
        f"{directory}: the safetensors files hold {elements:,} parameters, but config.json describes {most:,}; files "
        "are missing or of another model, fetch all of this one again"
    )


def _refuse(directory: Path) -> None:
    """Everything that may not be there, in one error."""
    found = [problem for path in files_below(directory) if (problem := refused(path, directory))]
    if found:
        raise CatalogError("; ".join(found))


def _elements(directory: Path) -> int:
    """Elements of all tensors, by the headers; every file that the index names must be there."""
    weights = [path for path in files_below(directory) if path.suffix == ".safetensors"]
    if not weights:
        raise CatalogError(f"{directory}: there is no safetensors file in it; fetch the model in that format")
    index = directory / INDEX
    if index.exists():
        named = read_json(index).get("weight_map")
        shards = set(named.values()) if isinstance(named, Mapping) else set()
        missing = sorted(str(name) for name in shards if not (directory / str(name)).is_file())
        if missing:
            raise CatalogError(f"{index}: weight_map: {', '.join(missing)} are not there; fetch all of the model")
    return sum(tensor.elements for path in weights for tensor in read_tensors(path).values())


def _guessed(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that no file tells for certain."""
    name = str(config.get("_name_or_path") or "")
    return {
        "id": id_of(directory),
        "repository": name if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) else UNKNOWN,
        "licence": "LicenseRef-unknown",
        "publisher": UNKNOWN,
        "country": UNKNOWN,
        "family": str(config.get("model_type") or UNKNOWN),
        "roles": [Role.GENERALIST.value],
        "skills": {},
        "prompt_set": "instruct",
    }


def _card_licence(directory: Path) -> str:
    """What the model card's head says (`license:`, as the Hub keeps it); empty where it says nothing."""
    try:
        head = (directory / "README.md").read_text(encoding="utf-8").split("---", 2)
        fields = yaml.safe_load(head[1]) if len(head) == 3 and not head[0].strip() else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""
    named = fields.get("license") if isinstance(fields, Mapping) else None
    if named == "other" and isinstance(fields, Mapping):
        named = fields.get("license_name")
    if not isinstance(named, str) or not named:
        return ""
    return SPDX.get(named.lower(), f"LicenseRef-{named}")


def _model(document: Mapping[str, Any]) -> Model:
    try:
        return Manifest.model_validate(document).model()
    except ValidationError as error:
        raise CatalogError(f"the manifest can't be written: {describe(error)}") from None
