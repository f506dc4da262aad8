"""Kinds of GPUs: what one has, draws and costs, each figure with its source; an operator's file replaces figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.config import describe
from appliance.config.yaml_file import read_mapping
from appliance.domain.node import Accelerator, Node
from appliance.errors import ConfigError

GIB: Final = 2**30

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class GpuKind:
    """One kind of GPU, in a common node.

    `name` is the product name as nvidia-smi shows it. `flops` maps a number format (`bf16`, `fp16`, `fp8`, `int8`) to
    dense operations per second. `link_bytes_s` is NVLink per GPU, both directions together (0: none); so many GPUs as
    `nvlink` says are one island of it. `host_bytes` is the memory of a node.
    """

    kind: str
    name: str
    memory_bytes: Figure
    bandwidth_bytes_s: Figure
    flops: Mapping[str, Figure]
    link_bytes_s: Figure
    pcie_bytes_s: Figure
    power_w: Figure
    price_per_hour: Figure
    gpus_per_node: Figure
    nvlink: Figure
    host_bytes: Figure

    @property
    def flops_16(self) -> Figure:
        """Of 16-bit numbers; an old card has no bfloat16."""
        return self.flops.get("bf16") or self.flops["fp16"]


def nodes_of(kind: GpuKind, gpus: int) -> tuple[Node, ...]:
    """So many GPUs in as few nodes as hold them, each node with its GPUs numbered from 0."""
    per_node, island = int(kind.gpus_per_node.value), int(kind.nvlink.value)
    counts = [min(per_node, gpus - first) for first in range(0, gpus, per_node)]
    return tuple(
        Node(
            f"{kind.kind}-node-{number}",
            tuple(
                Accelerator(
                    gpu_id=str(index),
                    name=kind.name,
                    total_bytes=int(kind.memory_bytes.value),
                    island=f"nvlink-{index // island}" if island > 1 else "",
                    bandwidth_bytes_s=kind.bandwidth_bytes_s.value,
                    flops=kind.flops_16.value,
                )
                for index in range(count)
            ),
            int(kind.host_bytes.value),
        )
        for number, count in enumerate(counts, 1)
    )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class _Positive(_Part):
    value: float = Field(gt=0)
    source: Words


class _AtLeastNothing(_Part):
    value: float = Field(ge=0)
    source: Words


class _Count(_Part):
    value: int = Field(ge=1, le=64)
    source: Words


class GpuEntry(_Part):
    """One kind of GPU as it stands in a file."""

    name: Words
    """Product name as nvidia-smi shows it."""
    memory_gib: _Positive
    """Whole memory."""
    bandwidth_gb_s: _Positive
    """Memory bandwidth."""
    tflops: dict[Literal["bf16", "fp16", "fp8", "int8"], _Positive] = Field(min_length=1)
    """Dense arithmetic by number format."""
    link_gb_s: _AtLeastNothing
    """NVLink per GPU, both directions together."""
    pcie_gb_s: _Positive
    """PCIe per GPU, one direction."""
    power_w: _Positive
    """Most that a card draws."""
    price_per_hour: _AtLeastNothing
    """Price of a GPU-hour, in whatever money."""
    gpus_per_node: _Count
    """GPUs in one server."""
    nvlink: _AtLeastNothing
    """GPUs that one NVLink island joins."""
    host_memory_gib: _AtLeastNothing
    """Memory of one server."""


class HardwareFile(_Part):
    """Kinds of GPUs and the sources of their figures."""

    version: Literal[1] = 1
    """Version of this schema."""
    sources: dict[str, Words] = Field(default_factory=dict)
    """Sources that figures name by a key."""
    gpus: dict[Kind, GpuEntry] = Field(min_length=1)
    """The kinds."""


def load_hardware(own: Path | None = None) -> Mapping[str, GpuKind]:
    """The kinds that come with this package, with the figures of `own` in place of theirs. Raises ConfigError."""
    document = yaml.safe_load(files(__package__).joinpath("hardware.yaml").read_text(encoding="utf-8"))
    name = "hardware.yaml"
    if own is not None:
        said = read_mapping(own, when_missing="give an existing one with --hardware", expected="a mapping with `gpus`")
        document, name = _merged(document, said), str(own)
    try:
        read = HardwareFile.model_validate(document)
    except ValidationError as error:
        words = "unknown key; appliance/capacity/hardware.yaml shows the known ones"
        found = describe(error).replace("unknown key; see `appliance config schema` for the known ones", words)
        raise ConfigError(f"{name}: {found}") from None
    for key, entry in read.gpus.items():
        if not {"bf16", "fp16"} & set(entry.tflops):
            raise ConfigError(f"{name}: gpus.{key}.tflops: give bf16 or fp16, which every model can be run in")
    return {key: _kind(key, entry, read.sources) for key, entry in read.gpus.items()}


def chosen(kinds: Mapping[str, GpuKind], names: Iterable[str]) -> tuple[GpuKind, ...]:
    """Those that are named, in that order. Raises ConfigError that lists the known ones."""
    found = []
    for name in names:
        if name not in kinds:
            raise ConfigError(
                f"--gpus {name}: there is no such kind of GPU; name one of {', '.join(kinds)}, or describe it in a "
                "file for --hardware"
            )
        found.append(kinds[name])
    return tuple(found)


def _merged(base: Any, more: Any) -> Any:
    """`more` laid over `base`, mapping by mapping; a figure replaces the other one with its source."""
    if not isinstance(base, dict) or not isinstance(more, dict) or "value" in more:
        return more
    return base | {key: _merged(base.get(key), value) for key, value in more.items()}


def _kind(key: str, entry: GpuEntry, sources: Mapping[str, str]) -> GpuKind:
    def figure(read: _Positive | _AtLeastNothing | _Count, unit: float = 1.0) -> Figure:
        return Figure(read.value * unit, sources.get(read.source, read.source))

    return GpuKind(
        kind=key,
        name=entry.name,
        memory_bytes=figure(entry.memory_gib, GIB),
        bandwidth_bytes_s=figure(entry.bandwidth_gb_s, 1e9),
        flops={name: figure(read, 1e12) for name, read in entry.tflops.items()},
        link_bytes_s=figure(entry.link_gb_s, 1e9),
        pcie_bytes_s=figure(entry.pcie_gb_s, 1e9),
        power_w=figure(entry.power_w),
        price_per_hour=figure(entry.price_per_hour),
        gpus_per_node=figure(entry.gpus_per_node),
        nvlink=figure(entry.nvlink),
        host_bytes=figure(entry.host_memory_gib, GIB),
    )
