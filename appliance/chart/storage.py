"""The parts `models`, `database` and `secrets`: what is kept, and what is kept secret."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.chart.images import Image
from appliance.chart.part import Name, Part, Quantity
from appliance.chart.workload import Amounts, Claim, Resources

AbsolutePath = Annotated[str, Field(pattern=r"^(/[^\n]+)?$")]


class StoreClaim(Part):
    """A volume with the weights."""

    existing_claim: Name = ""
    """A claim that is there. Empty: one is made, to be filled before packs can start."""
    storage_class: str = ""
    """Storage class of the claim that is made."""
    size: Quantity = "500Gi"
    """Size of the claim that is made."""
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany"] = "ReadWriteMany"
    """Packs only read."""


class StoreValues(Part):
    """Where the weights are: one directory per model id."""

    kind: Literal["embedded", "claim", "hostPath", "image"] = "embedded"
    """`embedded`: the starter models in the engines' images. `claim`: a PersistentVolumeClaim. `hostPath`: a directory
    of every node, which the Pod Security level `restricted` does not allow. `image`: an OCI image, mounted as a volume
    (on by default from Kubernetes 1.35)."""
    claim: StoreClaim = StoreClaim()
    """For `claim`."""
    host_path: AbsolutePath = ""
    """For `hostPath`."""
    image: Image = Image(repository="appliance/models")
    """For `image`."""
    sub_path: str = ""
    """Directory below the volume's root that holds the models."""


class CatalogValues(Part):
    """Where the manifests of models are."""

    kind: Literal["image", "configMap", "store"] = "image"
    """`image`: those that came with this release. `configMap`: of yours. `store`: the directory `catalog` of the
    store."""
    config_map: Name = ""
    """For `configMap`: its name; one key per manifest, ending in `.yaml`."""


class ModelsValues(Part):
    """Weights and manifests."""

    store: StoreValues = StoreValues()
    """Where the weights are."""
    catalog: CatalogValues = CatalogValues()
    """Where the manifests of models are."""
    verify: bool = True
    """Check every file of a pack's models against its manifest before the pack starts."""


class ExternalDatabase(Part):
    """A PostgreSQL that is there."""

    existing_secret: Name = ""
    """Secret with the URL, password included."""
    key: str = "url"
    """Its key: `postgresql://user:password@host:5432/database`."""


class BundledDatabase(Part):
    """A small PostgreSQL of this release: one pod, one volume. Back it up; it is not highly available."""

    existing_secret: Name = ""
    """Secret with `password` and `url`. Empty: one is made, and kept."""
    data: Claim = Claim(size="20Gi")
    """Its volume."""
    resources: Resources = Resources(
        requests=Amounts(cpu="250m", memory="512Mi", **{"ephemeral-storage": "256Mi"}),
        limits=Amounts(cpu="2", memory="2Gi", **{"ephemeral-storage": "1Gi"}),
    )
    """What it asks for, and the most that it gets."""
    user_id: int = Field(999, ge=1)
    """Number of the user `postgres` in the image: 999 in Debian's, 70 in Alpine's."""


class DatabaseValues(Part):
    """Where traces, usage and keys are kept."""

    kind: Literal["sqlite", "external", "bundled"] = "sqlite"
    """`sqlite`: a file in the data directory of the only gateway. `external`: a PostgreSQL that is there. `bundled`: a
    small one of this release."""
    external: ExternalDatabase = ExternalDatabase()
    """For `external`."""
    bundled: BundledDatabase = BundledDatabase()
    """For `bundled`."""


class SecretsValues(Part):
    """The keys of the appliance."""

    existing_secret: Name = ""
    """Secret with `api-keys` (one per line), `pack-key`, `pepper` and `salt` (32 bytes or more each), `audit-key` (32
    bytes or more, in hexadecimal) and, for scraping, `metrics-key` (one of the API keys). Empty: one is made of random
    ones, and kept."""
