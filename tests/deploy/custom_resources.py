"""The form of custom resources, as far as the chart uses it: what must be there, and what may. From their operators'
documentation; none of them comes with a package."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

TEXT, NUMBER, FLAG = {"type": "string", "minLength": 1}, {"type": "integer"}, {"type": "boolean"}
MAP = {"type": "object", "additionalProperties": {"type": "string"}}


def form(required: str, optional: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """An object with these keys and no other; `required` names those that must be there."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties | (optional or {}),
        "additionalProperties": False,
    }


def each(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


_SECRET_KEY = form("name key", name=TEXT, key=TEXT)
_SERVICE_MONITOR = form(
    "selector endpoints",
    selector=form("matchLabels", matchLabels=MAP),
    namespaceSelector=form("matchNames", matchNames=each(TEXT)),
    endpoints=each(
        form(
            "port path",
            port=TEXT,
            path=TEXT,
            interval=TEXT,
            authorization=form("credentials", type=TEXT, credentials=_SECRET_KEY),
        )
    ),
)
_RULE = form(
    "alert expr labels annotations", alert=TEXT, expr=TEXT, labels=MAP, annotations=MAP, optional={"for": TEXT}
)
_PROMETHEUS_RULE = form("groups", groups=each(form("name rules", name=TEXT, rules=each(_RULE))))
_SCALED_OBJECT = form(
    "scaleTargetRef triggers",
    scaleTargetRef=form("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
    minReplicaCount=NUMBER,
    maxReplicaCount=NUMBER,
    fallback=form("failureThreshold replicas", failureThreshold=NUMBER, replicas=NUMBER, behavior=TEXT),
    advanced={"type": "object"},
    triggers=each(
        form(
            "type metadata",
            type={"const": "prometheus"},
            metricType={"enum": ["AverageValue", "Value"]},
            metadata=form("serverAddress query threshold", serverAddress=TEXT, query=TEXT, threshold=TEXT),
        )
    ),
)
_CERTIFICATE = form(
    "secretName issuerRef dnsNames",
    secretName=TEXT,
    issuerRef=form("name", name=TEXT, kind=TEXT, group=TEXT),
    dnsNames=each(TEXT),
    privateKey=form("algorithm size", algorithm=TEXT, size=NUMBER, rotationPolicy=TEXT),
    usages=each(TEXT),
)
_HTTP_ROUTE = form(
    "parentRefs rules",
    parentRefs=each({"type": "object", "required": ["name"]}),
    hostnames=each(TEXT),
    rules=each(
        form(
            "matches backendRefs",
            matches=each(form("path", path=form("type value", type=TEXT, value=TEXT))),
            timeouts=form("request", request=TEXT),
            backendRefs=each(form("name port", name=TEXT, port=NUMBER)),
        )
    ),
)
_LEADER_WORKER_SET = form(
    "leaderWorkerTemplate",
    replicas=NUMBER,
    startupPolicy={"enum": ["LeaderCreated", "LeaderReady"]},
    leaderWorkerTemplate=form(
        "size leaderTemplate workerTemplate",
        size=NUMBER,
        restartPolicy={"enum": ["RecreateGroupOnPodRestart", "None"]},
        leaderTemplate=form("metadata spec", metadata={"type": "object"}, spec={"type": "object"}),
        workerTemplate=form("metadata spec", metadata={"type": "object"}, spec={"type": "object"}),
    ),
)
SCHEMAS: dict[str, dict[str, dict[str, Any]]] = {
    "monitoring.coreos.com/v1": {"ServiceMonitor": _SERVICE_MONITOR, "PrometheusRule": _PROMETHEUS_RULE},
    "leaderworkerset.x-k8s.io/v1": {"LeaderWorkerSet": _LEADER_WORKER_SET},
    "keda.sh/v1alpha1": {"ScaledObject": _SCALED_OBJECT},
    "cert-manager.io/v1": {"Certificate": _CERTIFICATE},
    "gateway.networking.k8s.io/v1": {"HTTPRoute": _HTTP_ROUTE},
}
"""apiVersion → kind → form of its `spec`."""


def problems(resource: dict[str, Any]) -> list[str]:
    """What is wrong with a custom resource."""
    schema = SCHEMAS[resource["apiVersion"]][resource["kind"]]
    found = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(resource["spec"])
    ]
    return found + [f"unknown key {key}" for key in resource if key not in {"apiVersion", "kind", "metadata", "spec"}]
