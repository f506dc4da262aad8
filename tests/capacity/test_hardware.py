"""Kinds of GPUs: figures with sources, an operator's own, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from appliance.capacity.hardware import Figure, chosen, load_hardware, nodes_of
from appliance.domain.node import Accelerator
from appliance.errors import ConfigError
from appliance.inventory.declared import load_inventory
from appliance.placement.throughput import CARDS, speed_of

ROOT = Path(__file__).parents[2]


def test_every_figure_has_a_source_in_words() -> None:
    for kind in load_hardware().values():
        figures = [value for f in fields(kind) if isinstance(value := getattr(kind, f.name), Figure)]
        for figure in (*figures, *kind.flops.values()):
            assert len(figure.source.split()) >= 3, (kind.kind, figure)


def test_the_solver_knows_each_kind_by_name_with_nearly_the_same_speeds() -> None:
    for kind in load_hardware().values():
        assert any(key in kind.name.upper() for key in CARDS), kind.name
        speed = speed_of(Accelerator("0", kind.name, int(kind.memory_bytes.value)))
        assert speed.bandwidth_bytes_s == pytest.approx(kind.bandwidth_bytes_s.value, rel=0.01), kind.kind
        assert speed.flops == pytest.approx(kind.flops_16.value, rel=0.01), kind.kind


def test_nodes_are_like_those_of_an_inventory() -> None:
    (declared,) = load_inventory(ROOT / "config/inventories/eight-h100.yaml")
    (made,) = nodes_of(load_hardware()["h100"], 8)
    assert [d.total_bytes for d in made.accelerators] == [d.total_bytes for d in declared.accelerators]
    assert [d.name for d in made.accelerators] == [d.name for d in declared.accelerators]
    assert len({d.island for d in made.accelerators}) == 1


def test_more_gpus_than_a_node_holds_take_several() -> None:
    nodes = nodes_of(load_hardware()["l40s"], 6)
    assert [(node.name, len(node.accelerators)) for node in nodes] == [("l40s-node-1", 4), ("l40s-node-2", 2)]
    assert {device.island for node in nodes for device in node.accelerators} == {""}


def test_an_operators_file_replaces_single_figures_and_adds_kinds(tmp_path: Path) -> None:
    entry = (ROOT / "appliance/capacity/hardware.yaml").read_text().partition("  l4:\n")[2].partition("  a10:\n")[0]
    file = tmp_path / "own.yaml"
    file.write_text(
        "gpus:\n  l40s:\n    price_per_hour: {value: 0.9, source: our lease of 2026}\n  mine:\n"
        + entry.replace("NVIDIA L4", "NVIDIA Mine")
    )
    kinds = load_hardware(file)
    assert kinds["l40s"].price_per_hour == Figure(0.9, "our lease of 2026")
    assert kinds["l40s"].power_w == load_hardware()["l40s"].power_w
    assert kinds["mine"].name == "NVIDIA Mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus: {l4: {power_w: {value: -1, source: x}}}", "gpus.l4.power_w.value"),
        ("gpus: {l4: {power_w: {value: .nan, source: x}}}", "gpus.l4.power_w.value"),
        ("gpus: {l4: {power_w: {value: 70}}}", "gpus.l4.power_w"),
        ("gpus: {l4: {watts: {value: 70, source: x}}}", "gpus.l4.watts: unknown key; appliance/capacity/hardware.yaml"),
        ("gpus: {new: {name: New}}", "gpus.new.memory_gib"),
        ("[]", "expected a mapping"),
    ],
)
def test_what_an_operators_file_may_not_say(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"own\.yaml") as caught:
        load_hardware(file)
    assert said in str(caught.value)


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"--gpus k80: there is no such kind of GPU; name one of t4, l4, a10"):
        chosen(load_hardware(), ["l4", "k80"])
