"""The chart, rendered by the real Helm: profiles by name, objects, and the pods in them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart
from typer.testing import CliRunner

from appliance.cli.main import app

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "appliance"
RELEASE, NAMESPACE = "demo", "ai"
FULL = "demo-appliance"
Object = dict[str, Any]

DIGESTS = {
    "images": {
        name: {"digest": f"sha256:{number:064x}"}
        for number, name in enumerate(("gateway", "engines", "enginesCpu", "postgresql"), 1)
    }
}
EVERYTHING = {
    "global": {"imageRegistry": "registry.internal:5000", "imagePullSecrets": ["pull"]},
    "gateway": {
        "replicas": 2,
        "files": "policies",
        "nodeSelector": {"role": "front"},
        "tolerations": [{"key": "front", "operator": "Exists"}],
        "priorityClassName": "serving",
        "podAnnotations": {"example.com/note": "1"},
        "podLabels": {"example.com/team": "ai"},
        "autoscaling": {"enabled": True, "kind": "hpa"},
    },
    "engines": {
        "runtimeClassName": "nvidia",
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "cache": {"enabled": True, "storageClass": "local"},
        "autoscaling": {"enabled": True, "kind": "hpa"},
        "extraEnv": [{"name": "NCCL_DEBUG", "value": "WARN"}],
    },
    "models": {
        "store": {"kind": "image", "image": {"repository": "models/all", "tag": "1"}, "subPath": "weights"},
        "catalog": {"kind": "store"},
    },
    "database": {"kind": "bundled"},
    "ingress": {"enabled": True, "host": "ai.example", "className": "nginx", "annotations": {"a": "b"}},
    "tls": {"certManager": {"enabled": True, "issuerRef": {"name": "internal", "kind": "ClusterIssuer"}}},
    "gatewayApi": {"enabled": True, "parentRefs": [{"name": "internal"}], "hostnames": ["ai.example"]},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "networkPolicy": {
        "identity": {"to": [{"ipBlock": {"cidr": "10.9.9.9/32"}}]},
        "telemetry": {"to": [{"podSelector": {"matchLabels": {"app": "collector"}}}]},
        "dns": {"cidrs": ["169.254.20.10/32"]},
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.8.8.8/32"}}], "ports": [{"protocol": "TCP", "port": 8080}]}],
    },
    "packs": [
        {"name": "pack-0", "gpus": 2, "replicas": 2, "node_selector": {"gpu": "l4"}},
        {"name": "pack-1", "autoscaling": {"enabled": False, "max_replicas": 1}},
    ],
}
KEDA = {
    "gateway": {"autoscaling": {"enabled": True}},
    "engines": {"autoscaling": {"enabled": True, "maxReplicas": 8}},
    "monitoring": {"prometheusAddress": "http://prometheus.monitoring:9090"},
    "database": {"kind": "bundled", "bundled": {"data": {"enabled": False}}},
}
STATIC = {"gateway": {"discovery": {"kind": "urls"}}, "packs": [{"name": "pack-0", "replicas": 2}, {"name": "b"}]}
OPEN = {"networkPolicy": {"enabled": False}, "models": {"verify": False}, "tests": {"enabled": False}}
DRA = {
    "engines": {"dra": {"enabled": True, "deviceClassName": "mig.nvidia.com", "selectors": ["device.driver != ''"]}},
    "packs": [{"name": "pack-0", "gpus": 2}],
}


GROUP = {
    "config": {
        "pool": [
            {"model": "deepseek-v3", "engine": {"kv_cache_memory_bytes": 8000000000}},
            {"model": "qwen3-8b", "engine": {"kv_cache_memory_bytes": 8000000000}},
        ],
        "roles": {"generalist": ["deepseek-v3"], "verifier": ["qwen3-8b"]},
    },
    "packs": [
        {
            "name": "pack-0",
            "gpus": 1,
            "gpu_ids": ["0"],
            "engines": [
                {
                    "id": "qwen3-8b-0",
                    "model": "qwen3-8b",
                    "gpu_ids": ["0"],
                    "kv_cache_memory_bytes": 8000000000,
                    "max_model_len": 4096,
                    "max_num_seqs": 8,
                    "max_num_batched_tokens": 2048,
                }
            ],
        }
    ],
    "groups": [
        {
            "name": "large",
            "model": "deepseek-v3",
            "nodes": 2,
            "gpus_per_node": 8,
            "tensor_parallel_size": 8,
            "pipeline_parallel_size": 2,
            "kv_cache_memory_bytes": 8000000000,
            "weights_bytes": 350000000000,
        }
    ],
    "models": {"store": {"kind": "claim", "claim": {"existingClaim": "models"}}},
}


def profile(name: str) -> Object:
    """The values of one of the chart's files."""
    loaded: Object = yaml.safe_load((CHART / f"values-{name}.yaml").read_text(encoding="utf-8"))
    return loaded


@functools.cache
def planned(example: str) -> str:
    """What `appliance plan --helm-values` writes for an example."""
    inventory = {"cascade-and-rules": "four-l40s", "one-gpu-node": "four-l40s"}.get(example, example)
    files = (
        "-c",
        str(ROOT / f"config/examples/{example}.yaml"),
        "-i",
        str(ROOT / f"config/inventories/{inventory}.yaml"),
    )
    result = CliRunner().invoke(app, ["plan", *files, "--helm-values"])
    assert result.exit_code == 0, result.output
    return result.stdout


def plan_values(example: str) -> Object:
    """The same as values, with a store for its models."""
    return merged(yaml.safe_load(planned(example)), {"models": {"store": {"kind": "claim"}}})


PLANNED = ("one-l4", "two-4090", "four-l40s", "eight-h100", "eight-a100-mig", "cascade-and-rules", "one-gpu-node")


@functools.cache
def _variants() -> dict[str, str]:
    """Name → values as JSON. Together they reach every template and every kind of store, database and scaling."""
    small, airgap, high = profile("small"), profile("airgap"), profile("ha")
    values = {
        "default": {},
        "cpu": profile("cpu"),
        "small": small,
        "small+ha": merged(small, high),
        "small+airgap": merged(small, airgap, DIGESTS),
        "small+ha+airgap": merged(small, high, airgap, DIGESTS),
        "cpu+ha": merged(profile("cpu"), high),
        "everything": EVERYTHING,
        "keda": KEDA,
        "static": STATIC,
        "open": OPEN,
        "dra": DRA,
        "group": GROUP,
        "hostPath": {"models": {"store": {"kind": "hostPath", "hostPath": "/srv/models"}}},
        "catalog": {"models": {"catalog": {"kind": "configMap", "configMap": "manifests"}}},
        "release-0.1.0": yaml.safe_load((Path(__file__).parent / "values-0.1.0.yaml").read_text(encoding="utf-8")),
        **{f"plan:{example}": plan_values(example) for example in PLANNED},
    }
    return {name: json.dumps(value) for name, value in values.items()}


PROFILES = (
    "default", "cpu", "small", "small+ha", "small+airgap", "small+ha+airgap", "cpu+ha", "everything", "keda", "static",
    "open", "dra", "group", "hostPath", "catalog", "release-0.1.0", *(f"plan:{example}" for example in PLANNED),
)  # fmt: skip


def values_of(variant: str) -> Object:
    """The values of a variant."""
    values: Object = json.loads(_variants()[variant])
    return values


@functools.cache
def chart() -> Chart:
    return Chart.load(str(CHART))


def rendered(values: Mapping[str, Any], **options: Any) -> dict[str, str]:
    """Template → text. Raises Helm's own errors."""
    texts = chart().render(dict(values), name=RELEASE, namespace=NAMESPACE, **options)
    return {name.removeprefix("appliance/templates/"): text for name, text in texts.items()}


@functools.cache
def _texts(variant: str) -> dict[str, str]:
    return rendered(values_of(variant))


def notes(variant: str) -> str:
    return _texts(variant)["NOTES.txt"]


@functools.cache
def objects(variant: str) -> tuple[Object, ...]:
    """All objects of a variant."""
    return objects_of(_texts(variant))


def objects_of(texts: Mapping[str, str]) -> tuple[Object, ...]:
    return tuple(
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    )


def of_kind(variant: str, *kinds: str) -> tuple[Object, ...]:
    return tuple(each for each in objects(variant) if each["kind"] in kinds)


def named(variant: str, kind: str, name: str) -> Object:
    """The one object of this kind and name (without the release's part of it)."""
    (found,) = (each for each in of_kind(variant, kind) if each["metadata"]["name"] == f"{FULL}{name}")
    return found


@dataclass(frozen=True, slots=True)
class PodPart:
    """A pod's labels and specification, wherever it stands."""

    owner: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> tuple[Object, ...]:
        """Init containers too."""
        return (*self.spec.get("initContainers", ()), *self.spec["containers"])


def pods(variant: str) -> Iterator[PodPart]:
    """Every pod that a variant would start."""
    for each in objects(variant):
        name = f"{each['kind']}/{each['metadata']['name']}"
        match each["kind"]:
            case "Deployment" | "StatefulSet" | "Job":
                template = each["spec"]["template"]
                yield PodPart(name, template["metadata"]["labels"], template["spec"])
            case "Pod":
                yield PodPart(name, each["metadata"]["labels"], each["spec"])
            case "LeaderWorkerSet":
                for role in ("leaderTemplate", "workerTemplate"):
                    template = each["spec"]["leaderWorkerTemplate"][role]
                    yield PodPart(f"{name}/{role}", template["metadata"]["labels"], template["spec"])


def merged(*layers: Mapping[str, Any]) -> Object:
    """Values on top of one another, as `-f a -f b` has them."""
    whole: Object = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else value
    return whole
