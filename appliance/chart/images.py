"""The parts `global` and `images`: what is pulled, and from where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.chart.part import Name, Part

Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]


def _no_moving_tag(tag: str) -> str:
    if tag == "latest":
        raise ValueError("latest is another image tomorrow; name a version")
    return tag


Tag = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_.-]*$", json_schema_extra={"not": {"const": "latest"}}),
    AfterValidator(_no_moving_tag),
]


class GlobalValues(Part):
    """What a chart above this one may say for all of its charts."""

    image_registry: str = ""
    """Registry before every image, as `registry.example:5000`. Empty: the repositories are complete."""
    image_pull_secrets: tuple[Name, ...] = ()
    """Secrets with which images are pulled."""


class Image(Part):
    """One image."""

    repository: Annotated[str, Field(min_length=1)]
    """Name without registry, tag and digest."""
    tag: Tag = ""
    """Tag; the chart's `appVersion` where it is empty. `latest` is refused."""
    digest: Digest = ""
    """`sha256:…`; it wins over the tag."""


class ImagesValues(Part):
    """Images by what runs in them."""

    gateway: Image = Image(repository="appliance/gateway")
    """The gateway, and the pods of `helm test`."""
    engines: Image = Image(repository="appliance/engines")
    """Packs with GPUs."""
    engines_cpu: Image = Image(repository="appliance/engines-cpu")
    """Packs without one."""
    postgresql: Image = Image(repository="postgres", tag="17.6-bookworm")
    """The bundled database."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When images are pulled."""
    require_digests: bool = False
    """Refuse to render an image without a digest."""
