"""Declared inventories: what they become, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.inventory.declared import GIB, load_inventory

INVENTORIES = Path(__file__).parents[2] / "config" / "inventories"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "inventory.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", sorted(INVENTORIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_inventory_loads(file: Path) -> None:
    assert all(node.accelerators for node in load_inventory(file))


def test_islands_mig_and_numbered_nodes(tmp_path: Path) -> None:
    text = """
nodes:
  - name: n
    count: 2
    host_memory_gib: 4
    data_classes: [internal]
    gpus:
      - {name: A, memory_gib: 10, count: 4, nvlink: 2, used_gib: 1}
      - {name: B, memory_gib: 40, mig: [{profile: 3g.20gb, memory_gib: 19, count: 2}], bandwidth_gb_s: 7, tflops: 3}
"""
    nodes = load_inventory(written(tmp_path, text))
    assert [node.name for node in nodes] == ["n-0", "n-1"]
    assert nodes[0].host_bytes == 4 * GIB
    assert nodes[0].data_classes == {"internal"}
    devices = nodes[0].accelerators
    assert [d.gpu_id for d in devices] == ["0", "1", "2", "3", "MIG-4-0", "MIG-4-1"]
    assert devices[0].island == devices[1].island != devices[2].island
    assert (devices[0].total_bytes, devices[0].used_bytes) == (10 * GIB, GIB)
    assert (devices[4].parent, devices[4].island, devices[4].total_bytes) == ("4", "", 19 * GIB)
    assert devices[4].name == "B MIG 3g.20gb"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nodes: []", "nodes: "),
        ("nodes: [", "not valid YAML"),
        ("nodes: [{name: a, gpus: [{name: L4}]}]", "nodes.0.gpus.0.memory_gib: "),
        (
            "nodes: [{name: a, gpus: [{name: L4, memory_gib: 1, cuont: 2}]}]",
            "cuont: unknown key; see docs/placement.md",
        ),
        (
            "nodes: [{name: a, gpus: [{name: L4, memory_gib: 1}]}, {name: a, gpus: [{name: L4, memory_gib: 1}]}]",
            "a stands twice",
        ),
        (
            "nodes: [{name: a, gpus: [{name: L4, memory_gib: 9, mig: [{profile: x, memory_gib: 1}]}]}]",
            "mig.0.profile: ",
        ),
    ],
)
def test_problem_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_inventory(file)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give an existing one with --inventory"):
        load_inventory(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="can't be read"):
        load_inventory(tmp_path)


def test_a_wrong_entry_is_told_without_what_follows_from_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_inventory(written(tmp_path, "nodes: [{name: a, gpus: [{name: L4}]}]"))
    assert str(refused.value).endswith("inventory.yaml: nodes.0.gpus.0.memory_gib: Field required")
