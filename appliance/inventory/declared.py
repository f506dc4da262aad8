"""A YAML inventory → nodes: a plan can be made for machines that one does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from appliance.config import describe
from appliance.domain.node import Accelerator, Node
from appliance.errors import ConfigError

GIB = 2**30

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^/]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class MigEntry(_Part):
    """Equal MIG instances on each GPU of an entry."""

    profile: Annotated[str, StringConstraints(pattern=r"^[1-7]g\.[0-9]+gb$")]
    """As nvidia-smi names it: `3g.20gb`."""
    memory_gib: float = Field(gt=0)
    """Memory of one instance."""
    count: int = Field(1, ge=1, le=7)
    """Instances per GPU."""


class GpuEntry(_Part):
    """Equal GPUs of a node, with indices in the order of the file."""

    name: Name
    """Product name as nvidia-smi shows it; the memory and speed of a card follow from it."""
    memory_gib: float = Field(gt=0)
    """Whole memory of one GPU, as nvidia-smi shows it (an H100 has 79.6 GiB, not 80)."""
    count: int = Field(1, ge=1, le=64)
    """How many there are."""
    nvlink: int = Field(0, ge=0, le=64)
    """GPUs in one NVLink island; 0: PCIe only."""
    used_gib: float = Field(0, ge=0)
    """Memory of one GPU that processes of others hold."""
    bandwidth_gb_s: float = Field(0, ge=0)
    """Memory bandwidth, 10⁹ bytes per second; 0: known by name."""
    tflops: float = Field(0, ge=0)
    """Dense 16-bit arithmetic, 10¹² operations per second; 0: known by name."""
    mig: tuple[MigEntry, ...] = ()
    """The MIG instances that each of these GPUs is cut into; they are the devices then."""


class NodeEntry(_Part):
    """Equal nodes."""

    name: Name
    """Name of the node; with `count` the numbers from 0 are added to it."""
    count: int = Field(1, ge=1, le=256)
    """How many there are."""
    host_memory_gib: float = Field(0, ge=0)
    """Memory that sleeping engines may keep their weights in."""
    data_classes: tuple[Name, ...] = ()
    """Classes of data that may be processed here."""
    gpus: tuple[GpuEntry, ...] = Field(min_length=1)
    """Its GPUs."""


class InventoryFile(_Part):
    """Nodes and their GPUs."""

    version: Literal[1] = 1
    """Version of this schema."""
    nodes: tuple[NodeEntry, ...] = Field(min_length=1)
    """The nodes."""


def load_inventory(path: Path) -> tuple[Node, ...]:
    """The nodes of a file. Raises ConfigError that names the file, the key and the way out."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = InventoryFile.model_validate(document).nodes
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give an existing one with --inventory") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {_described(error)}") from None
    names = [name for entry in entries for name in _names(entry)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path}: nodes: {name} stands twice; give each node a name of its own")
    return tuple(_node(entry, name) for entry in entries for name in _names(entry))


def _described(error: ValidationError) -> str:
    words = "unknown key; see docs/placement.md for the known ones"
    return describe(error).replace("unknown key; see `appliance config schema` for the known ones", words)


def _names(entry: NodeEntry) -> list[str]:
    return [entry.name] if entry.count == 1 else [f"{entry.name}-{number}" for number in range(entry.count)]


def _node(entry: NodeEntry, name: str) -> Node:
    devices: list[Accelerator] = []
    index = 0
    for number, gpu in enumerate(entry.gpus):
        for position in range(gpu.count):
            devices += _devices(gpu, index, f"nvlink-{number}-{position // gpu.nvlink}" if gpu.nvlink > 1 else "")
            index += 1
    return Node(name, tuple(devices), int(entry.host_memory_gib * GIB), frozenset(entry.data_classes))


def _devices(gpu: GpuEntry, index: int, island: str) -> list[Accelerator]:
    """The GPU, or its MIG instances."""
    speeds = (gpu.bandwidth_gb_s * 1e9, gpu.tflops * 1e12)
    if not gpu.mig:
        sizes = (int(gpu.memory_gib * GIB), int(gpu.used_gib * GIB))
        return [Accelerator(str(index), gpu.name, *sizes, island, "", *speeds)]
    profiles = [part for part in gpu.mig for _ in range(part.count)]
    return [
        Accelerator(
            f"MIG-{index}-{number}", f"{gpu.name} MIG {part.profile}", int(part.memory_gib * GIB), parent=str(index)
        )
        for number, part in enumerate(profiles)
    ]
