"""Everything that a configuration needs on the other side, as one list of sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.airgap.bill_check import require_valid
from appliance.airgap.chart import packaged
from appliance.airgap.images import read_image
from appliance.airgap.lock_file import Pin, read_lock
from appliance.airgap.manifest import BundledImage, BundledModel
from appliance.airgap.model_sources import Fetch, PackedModel, packed_model
from appliance.airgap.sbom import model_bill, software_bill
from appliance.airgap.source import Source, from_file, made, tree
from appliance.airgap.wheels import wheel_sources
from appliance.catalog.loader import find, load_catalog
from appliance.config import Settings
from appliance.errors import ConfigError

APPLIANCE_LOCK = "appliance-runtime.txt"
CONFIG = "config/appliance.yaml"


@dataclass(frozen=True, slots=True)
class Extras:
    """What is named on the command line beside the configuration."""

    images: Sequence[Path] = ()
    wheels: Path | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """All sources, and what the manifest says about some of them."""

    sources: tuple[Source, ...]
    models: tuple[BundledModel, ...]
    images: tuple[BundledImage, ...]
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Of all together."""
        return sum(source.size_bytes for source in self.sources)


def gather(settings: Settings, version: str, extras: Extras, fetch: Fetch) -> Contents:
    """Everything, checked for what may be in a bundle. Raises ConfigError, CatalogError and BundleError."""
    models = _models(settings, fetch)
    images = [read_image(path) for path in extras.images]
    environments = _environments(settings.bundle.locks)
    wheels = (
        [] if extras.wheels is None else wheel_sources(extras.wheels, [p for e in environments.values() for p in e])
    )
    bills = {
        "sbom/software.cdx.json": software_bill(
            version, environments, {w.sha256 or "": w.path for w in wheels}, [image for image, _ in images]
        ),
        "sbom/models.cdx.json": model_bill(version, [packed.model for packed in models]),
    }
    for path, bill in bills.items():
        require_valid(path, bill)
    folders, left_out = _folders(settings)
    document = yaml.safe_load(Path(settings.source).read_text(encoding="utf-8"))
    policies = {f"policies/{file.name}": file for file in _policy_files(settings, document)}
    there = {source.path for source in folders}
    further = [from_file(path, file) for path, file in policies.items() if path not in there]
    return Contents(
        sources=(
            *(source for packed in models for source in packed.sources),
            *(source for _, of_image in images for source in of_image),
            *wheels,
            *(made(path, bill) for path, bill in bills.items()),
            made(CONFIG, _config(settings, document)),
            *further,
            *folders,
        ),
        models=tuple(packed.named for packed in models),
        images=tuple(image for image, _ in images),
        left_out=left_out,
    )


def _models(settings: Settings, fetch: Fetch) -> list[PackedModel]:
    where = settings.models
    catalog = load_catalog(where.catalog)
    names = [member.model for member in settings.pool]
    licences = settings.bundle.licences
    return [packed_model(find(catalog, name), where.catalog, where.store, licences, fetch) for name in names]


def _environments(locks: Path) -> Mapping[str, list[Pin]]:
    """Environment → what is locked for it. Development tools stay here."""
    if not locks.is_dir():
        return {}
    files = [
        path for path in sorted(locks.glob("*.txt")) if path.name == APPLIANCE_LOCK or path.name.startswith("engine-")
    ]
    return {path.stem: list(read_lock(path.read_text(encoding="utf-8"))) for path in files}


def _folders(settings: Settings) -> tuple[list[Source], tuple[str, ...]]:
    """Whole directories, and those that are not there."""
    bundle = settings.bundle
    rooms = {"docs": bundle.docs, "policies": bundle.policies, "routers": bundle.routers, "suites": bundle.suites}
    sources = [source for room, directory in rooms.items() for source in tree(room, directory)]
    left_out = [f"{room} ({directory})" for room, directory in rooms.items() if not directory.is_dir()]
    if bundle.locks.is_dir():
        sources += [from_file(f"locks/{path.name}", path) for path in sorted(bundle.locks.glob("*.txt"))]
    if bundle.chart.is_dir():
        sources.append(packaged(bundle.chart))
    else:
        left_out.append(f"chart ({bundle.chart})")
    return sources, tuple(left_out)


def _policy_files(settings: Settings, document: Mapping[str, Any]) -> list[Path]:
    """The files that the configuration names. Raises ConfigError where two of them have one name."""
    base = Path(settings.source).resolve().parent
    files = [(base / name).resolve() for name in (document.get("policy") or {}).get("files") or ()]
    taken = sorted(path.resolve() for path in settings.bundle.policies.glob("*") if path.is_file())
    for file in files:
        if any(other.name == file.name and other != file for other in (*files, *taken)):
            raise ConfigError(f"{settings.source}: policy.files: another policy is named {file.name}, too; rename one")
    return files


def _config(settings: Settings, document: dict[str, Any]) -> bytes:
    """The configuration with the paths that hold in an installed version."""
    document["models"] = {**document["models"], "catalog": "../catalog", "store": "../models"}
    if files := _policy_files(settings, document):
        document["policy"]["files"] = [f"../policies/{path.name}" for path in files]
    head = "# Made for the other side of the air gap; the directories of models are those of this version.\n"
    return (head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)).encode()
