"""Bills of material (CycloneDX 1.6): the software, and the models with their cards. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from appliance.airgap.lock_file import Pin
from appliance.airgap.manifest import BundledImage
from appliance.domain.model import Model

SPEC_VERSION = "1.6"
_NAMESPACE = uuid.UUID("5b0c7d5e-6a0f-4f39-9d0a-6f1f4a1d7f5e")
_SPDX_CUSTOM = "LicenseRef-"


def software_bill(
    version: str, environments: Mapping[str, Sequence[Pin]], wheels: Mapping[str, str], images: Sequence[BundledImage]
) -> bytes:
    """Packages of each environment (its name → its pins), and images. `wheels` maps digests to paths in the bundle."""
    components: dict[str, dict[str, Any]] = {}
    for name, pins in sorted(environments.items()):
        for pin in pins:
            reference = f"pkg:pypi/{pin.name}@{pin.version.replace('+', '%2B')}"
            found = components.setdefault(reference, _package(reference, pin, wheels))
            found["properties"].append({"name": "appliance:environment", "value": name})
    for image in images:
        for reference in image.references or (image.path,):
            components[f"image:{reference}"] = {"type": "container", "bom-ref": f"image:{reference}", "name": reference}
    return _document(version, "software", [components[key] for key in sorted(components)])


def model_bill(version: str, models: Iterable[Model]) -> bytes:
    """Models with what is known of them, and each of their files with its digest."""
    return _document(version, "models", [_model(model) for model in sorted(models, key=lambda m: m.model_id)])


def _package(reference: str, pin: Pin, wheels: Mapping[str, str]) -> dict[str, Any]:
    carried = sorted(pin.digests & wheels.keys())
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": pin.name,
        "version": pin.version,
        "purl": reference,
        "properties": [{"name": "appliance:wheel", "value": wheels[digest]} for digest in carried],
    }
    if carried:
        component["hashes"] = [{"alg": "SHA-256", "content": carried[0]}]
    return component


def _model(model: Model) -> dict[str, Any]:
    reference = f"model:{model.model_id}@{model.revision}"
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": model.model_id,
        "version": model.revision,
        "description": model.description or f"{model.architecture} of {model.publisher}",
        "publisher": model.publisher,
        "licenses": [{"license": _licence(model.licence)}],
        "modelCard": {
            "modelParameters": {
                "task": "text-generation",
                "architectureFamily": model.family,
                "modelArchitecture": model.architecture,
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "considerations": {"useCases": [f"role: {role.value}" for role in sorted(model.roles)]},
        },
        "properties": [
            {"name": "appliance:repository", "value": model.repository},
            {"name": "appliance:country", "value": model.country},
            {"name": "appliance:parameters", "value": str(model.parameters)},
            {"name": "appliance:dtype", "value": model.quantization or model.dtype},
            {"name": "appliance:context-tokens", "value": str(model.context_tokens)},
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{reference}#{file.path}",
                "name": file.path,
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for file in model.files
        ],
    }


def _licence(name: str) -> dict[str, str]:
    """Licences outside SPDX's list are names, not ids."""
    return {"name": name} if name.startswith(_SPDX_CUSTOM) else {"id": name}


def _document(version: str, name: str, components: list[dict[str, Any]]) -> bytes:
    """Without a time: the same contents make the same file, and its serial number follows from them."""
    serial = uuid.uuid5(_NAMESPACE, json.dumps([version, name, components], sort_keys=True))
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"appliance:{name}",
                "name": "appliance",
                "version": version,
            }
        },
        "components": components,
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
