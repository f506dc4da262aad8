"""Everything that a configuration needs on the other side, as one list of sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.airgap.bill_check import require_valid
from appliance.airgap.chart import packaged
from appliance.airgap.images import read_image
from appliance.airgap.lock_file import Pin, read_lock
from appliance.airgap.manifest import BundledImage, BundledModel
from appliance.airgap.model_sources import Fetch, PackedModel, packed_model
from appliance.airgap.sbom import model_bill, software_bill
from appliance.airgap.site_config import site_sources
from appliance.airgap.source import Source, from_file, made, tree
from appliance.airgap.wheels import wheel_sources
from appliance.catalog.loader import find, load_catalog
from appliance.config import Settings

APPLIANCE_LOCK = "appliance-runtime.txt"


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
    pins = [pin for locked in environments.values() for pin in locked]
    wheels = [] if extras.wheels is None else wheel_sources(extras.wheels, pins)
    carried = {wheel.sha256: wheel.path for wheel in wheels if wheel.sha256}
    folders, left_out = _folders(settings)
    sources = (
        *(source for packed in models for source in packed.sources),
        *(source for _, of_image in images for source in of_image),
        *wheels,
        _bill("software", software_bill(version, environments, carried, [image for image, _ in images])),
        _bill("models", model_bill(version, [packed.model for packed in models])),
        *site_sources(settings),
        *folders,
    )
    return Contents(
        sources=tuple({source.path: source for source in sources}.values()),  # a policy may be named, and in its folder
        models=tuple(packed.named for packed in models),
        images=tuple(image for image, _ in images),
        left_out=left_out,
    )


def _bill(name: str, content: bytes) -> Source:
    """A bill of material that is one."""
    path = f"sbom/{name}.cdx.json"
    require_valid(path, content)
    return made(path, content)


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
