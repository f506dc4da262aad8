"""Bills of material: valid, complete, the same for the same contents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.airgap.bill_check import require_valid
from appliance.airgap.lock_file import Pin, read_lock
from appliance.airgap.manifest import BundledImage
from appliance.airgap.sbom import model_bill, software_bill
from appliance.catalog.loader import load_catalog
from appliance.errors import ContentRefused

ROOT = Path(__file__).parents[2]
LOCKS = {name: ROOT / "requirements" / f"{name}.txt" for name in ("appliance-runtime", "engine-cpu", "engine-cuda")}
"""Of what is installed on the other side; the others are for development, images and comparisons."""


def pins() -> dict[str, list[Pin]]:
    return {name: list(read_lock(path.read_text())) for name, path in LOCKS.items()}


def test_every_package_of_every_lock_is_in_the_list_of_software() -> None:
    bill = software_bill("0.1.0", pins(), {}, [BundledImage(path="images/a.tar", form="oci", references=("a:1",))])
    require_valid("software", bill)
    document = json.loads(bill)
    listed = {component.get("purl") for component in document["components"]}
    for lock, path in LOCKS.items():
        lines = [line for line in path.read_text().splitlines() if "==" in line]
        found = pins()[lock]
        assert len(found) == len(lines) > 50
        assert all(pin.digests for pin in found)
        assert {f"pkg:pypi/{pin.name}@{pin.version.replace('+', '%2B')}" for pin in found} <= listed
    assert "image:a:1" in {component["bom-ref"] for component in document["components"]}


def test_a_carried_wheel_is_named_with_its_digest() -> None:
    digest = "1" * 64
    pin = Pin("thing", "1.0", frozenset({digest, "2" * 64}))
    bill = software_bill("0.1.0", {"engine": [pin]}, {digest: "wheels/engine/thing.whl"}, [])
    require_valid("software", bill)
    (component,) = json.loads(bill)["components"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest}]
    values = {(one["name"], one["value"]) for one in component["properties"]}
    assert values == {("appliance:wheel", "wheels/engine/thing.whl"), ("appliance:environment", "engine")}


def test_all_models_of_the_catalog_have_valid_cards() -> None:
    catalog = load_catalog(ROOT / "models" / "catalog")
    bill = model_bill("0.1.0", catalog.values())
    require_valid("models", bill)
    by_name: dict[str, Any] = {component["name"]: component for component in json.loads(bill)["components"]}
    assert by_name.keys() == catalog.keys()
    math = by_name["starter-math"]
    assert math["modelCard"]["modelParameters"]["modelArchitecture"] == "LlamaForCausalLM"
    assert {file["name"] for file in math["components"]} == {file.path for file in catalog["starter-math"].files}
    assert math["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert by_name["deepseek-v3"]["licenses"] == [{"license": {"name": "LicenseRef-DeepSeek"}}]


def test_the_same_contents_make_the_same_bill() -> None:
    catalog = list(load_catalog(ROOT / "models" / "catalog").values())
    assert model_bill("1", catalog) == model_bill("1", reversed(catalog))
    serials = [json.loads(model_bill(version, catalog))["serialNumber"] for version in ("1", "2")]
    assert serials[0] != serials[1]


def test_a_bill_that_is_none_is_refused() -> None:
    bill = json.loads(model_bill("1", []))
    with pytest.raises(ContentRefused, match="no valid CycloneDX"):
        require_valid("models", json.dumps({**bill, "specVersion": 1}).encode())
