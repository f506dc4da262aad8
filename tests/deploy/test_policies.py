"""What every pod of every profile keeps: Pod Security `restricted`, limits, probes, no token, pinned images."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy import chart
from tests.deploy.chart import PROFILES, PodPart, pods

SECRETS_OF = {
    "gateway": {"api-keys", "pack-key", "pepper", "salt", "audit-key"},
    "pack": {"pack-key"},
    "database": {"password"},
}


def every_pod(variant: str) -> list[PodPart]:
    found = list(pods(variant))
    assert found
    return found


@pytest.mark.parametrize("variant", PROFILES)
def test_pods_are_restricted(variant: str) -> None:
    for pod in every_pod(variant):
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.spec.keys()
        for container in pod.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("variant", [name for name in PROFILES if name != "hostPath"])
def test_volumes_are_of_the_kinds_that_restricted_allows(variant: str) -> None:
    allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "image"}
    for pod in every_pod(variant):
        assert {kind for volume in pod.spec["volumes"] for kind in volume.keys() - {"name"}} <= allowed


@pytest.mark.parametrize("variant", PROFILES)
def test_what_is_written_has_a_bound_and_what_is_mounted_is_there(variant: str) -> None:
    for pod in every_pod(variant):
        claims = {volume.get("name") for volume in claim_templates(variant, pod)}
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for container in pod.containers:
            for mount in container["volumeMounts"]:
                assert mount["name"] in volumes.keys() | claims
                writable = "emptyDir" in volumes.get(mount["name"], {}) or mount["name"] == "data"
                assert writable or mount["readOnly"] is True
        for volume in volumes.values():
            assert volume.get("emptyDir", {"sizeLimit": 1}).get("sizeLimit")


def claim_templates(variant: str, pod: PodPart) -> list[dict[str, Any]]:
    kind, _, name = pod.owner.partition("/")
    if kind != "StatefulSet":
        return []
    (owner,) = (each for each in chart.of_kind(variant, kind) if each["metadata"]["name"] == name)
    return [template["metadata"] for template in owner["spec"].get("volumeClaimTemplates", ())]


@pytest.mark.parametrize("variant", PROFILES)
def test_requests_and_limits_are_named(variant: str) -> None:
    for pod in every_pod(variant):
        for container in pod.containers:
            for kind in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"][kind].keys()


@pytest.mark.parametrize("variant", PROFILES)
def test_only_gateways_that_watch_have_a_token(variant: str) -> None:
    for account in chart.of_kind(variant, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for pod in every_pod(variant):
        assert pod.spec["automountServiceAccountToken"] is False
        tokens = [volume for volume in pod.spec["volumes"] if "projected" in volume]
        watches = pod.labels["app.kubernetes.io/component"] == "gateway" and variant != "static"
        assert bool(tokens) is watches
    roles = chart.of_kind(variant, "Role", "ClusterRole")
    wanted = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]
    assert [role["rules"] for role in roles] == ([] if variant == "static" else [wanted])
    assert chart.of_kind(variant, "ClusterRole", "ClusterRoleBinding") == ()


@pytest.mark.parametrize("variant", PROFILES)
def test_no_service_adds_variables_to_a_pod(variant: str) -> None:
    """A Service `appliance` would set APPLIANCE_PORT, which is a setting of ours."""
    assert all(pod.spec["enableServiceLinks"] is False for pod in every_pod(variant))


@pytest.mark.parametrize("variant", PROFILES)
def test_pods_see_only_the_secrets_that_they_need(variant: str) -> None:
    for pod in every_pod(variant):
        component = pod.labels["app.kubernetes.io/component"]
        seen = {
            item["key"]
            for volume in pod.spec["volumes"]
            if "secret" in volume and "database" not in volume["name"]
            for item in volume["secret"]["items"]
        }
        asks = pod.owner.endswith("-test-orchestrated")
        assert seen == ({"api-keys"} if asks else SECRETS_OF.get(component, set()))
        for container in pod.containers:
            assert not any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container.get("env", ()))


@pytest.mark.parametrize("variant", PROFILES)
def test_images_are_named_by_version_or_digest(variant: str) -> None:
    airgap = "airgap" in variant
    for pod in every_pod(variant):
        references = [container["image"] for container in pod.containers]
        references += [volume["image"]["reference"] for volume in pod.spec["volumes"] if "image" in volume]
        for reference in references:
            assert not reference.endswith(":latest")
            assert re.search(r"@sha256:[0-9a-f]{64}$" if airgap else r":[\w][\w.-]*$", reference)
            if airgap or variant in ("everything", "release-0.1.0"):
                assert reference.startswith("registry.internal:5000/")


@pytest.mark.parametrize("variant", PROFILES)
def test_what_serves_has_all_three_probes_and_a_drain(variant: str) -> None:
    for pod in every_pod(variant):
        component = pod.labels["app.kubernetes.io/component"]
        if component in ("test", "rank"):  # a rank answers nobody, and ends when its engine does
            continue
        (container,) = pod.spec["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        if component == "database":
            continue
        waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        least = {"gateway": 5 + 10, "pack": 10 + 20}[component]
        assert waits > 0
        assert pod.spec["terminationGracePeriodSeconds"] == waits + least


def test_drain_follows_the_configuration() -> None:
    pool = chart.profile("small")["config"]
    said = chart.merged(chart.profile("small"), {"config": {"engines": {**pool["engines"], "drain_timeout_s": 44.5}}})
    (pack,) = (each for each in chart.objects_of(chart.rendered(said)) if each["metadata"]["name"].endswith("pack-0"))
    assert pack["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 45 + 20


def startup_seconds(variant: str, pack: str) -> int:
    template = chart.named(variant, "StatefulSet", f"-{pack}")["spec"]["template"]
    probe = template["spec"]["containers"][0]["startupProbe"]
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


def test_packs_may_start_as_long_as_their_weights_take() -> None:
    pack = chart.values_of("plan:eight-h100")["packs"][0]
    reading = pack["weights_bytes"] / 200_000_000
    wanted = 60 + 300 * len(pack["engines"]) + reading
    assert pack["weights_bytes"] > 100e9
    assert wanted <= startup_seconds("plan:eight-h100", "pack-0") <= wanted + 20
    assert startup_seconds("default", "pack-0") == 60 + 5 * 300
    assert startup_seconds("cpu", "pack-0") == 60 + 5 * 120


def test_packs_get_the_devices_of_the_plan() -> None:
    def limits(variant: str) -> dict[str, str]:
        (container,) = chart.named(variant, "StatefulSet", "-pack-0")["spec"]["template"]["spec"]["containers"]
        return {name: amount for name, amount in container["resources"]["limits"].items() if "/" in name}

    assert limits("plan:eight-h100") == {"nvidia.com/gpu": "8"}
    assert limits("plan:eight-a100-mig") == {"nvidia.com/gpu": "6", "nvidia.com/mig-3g.20gb": "3"}
    assert limits("cpu") == {}
    assert limits("dra") == {}


def test_devices_by_dynamic_resource_allocation() -> None:
    pod = chart.named("dra", "StatefulSet", "-pack-0")["spec"]["template"]["spec"]
    assert pod["resourceClaims"] == [{"name": "gpus", "resourceClaimTemplateName": "demo-appliance-pack-0"}]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": "gpus"}]
    (request,) = chart.named("dra", "ResourceClaimTemplate", "-pack-0")["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["count"] == 2
    assert request["exactly"]["deviceClassName"] == "mig.nvidia.com"


def test_packs_stand_on_the_nodes_of_the_plan() -> None:
    spec = chart.named("plan:eight-h100", "StatefulSet", "-pack-0")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": chart.values_of("plan:eight-h100")["packs"][0]["node"]}
    free = chart.merged(chart.values_of("plan:eight-h100"), {"engines": {"pinNodes": False}})
    (pack,) = (each for each in chart.objects_of(chart.rendered(free)) if each["kind"] == "StatefulSet")
    assert "nodeSelector" not in pack["spec"]["template"]["spec"]


def test_a_group_is_one_engine_over_the_gpus_of_its_nodes() -> None:
    whole = chart.named("group", "LeaderWorkerSet", "-large")["spec"]["leaderWorkerTemplate"]
    leader, worker = (whole[role]["spec"]["containers"][0] for role in ("leaderTemplate", "workerTemplate"))
    assert whole["size"] == 2
    assert leader["args"] == worker["args"]
    assert leader["args"][0] == "engines"
    assert "ports" not in worker  # who the first is, LeaderWorkerSet tells by LWS_WORKER_INDEX
    assert leader["resources"]["limits"]["nvidia.com/gpu"] == worker["resources"]["limits"]["nvidia.com/gpu"] == "8"
    seconds = leader["startupProbe"]["failureThreshold"] * leader["startupProbe"]["periodSeconds"]
    assert seconds == 60 + 300 + 350e9 / 200e6


def test_several_gateways_are_spread_and_given_up_one_by_one() -> None:
    gateway = chart.named("small+ha", "StatefulSet", "-gateway")["spec"]
    assert "replicas" not in gateway  # KEDA says how many
    scaled = chart.named("small+ha", "ScaledObject", "-gateway")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("StatefulSet", "demo-appliance-gateway")
    (spread,) = gateway["template"]["spec"]["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"
    assert spread["labelSelector"]["matchLabels"] == gateway["selector"]["matchLabels"]
    assert chart.named("small+ha", "PodDisruptionBudget", "-gateway")["spec"]["maxUnavailable"] == 1


def test_an_audit_chain_outlives_its_gateway() -> None:
    spec = chart.named("small+ha", "StatefulSet", "-gateway")["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    pod = spec["template"]["spec"]
    assert {"name": "data", "mountPath": "/var/lib/appliance"} in pod["containers"][0]["volumeMounts"]
    assert "data" not in {volume["name"] for volume in pod["volumes"]}


def test_gateways_that_keep_nothing_of_their_own_are_a_deployment() -> None:
    values = chart.merged(chart.values_of("small+ha"), {"gateway": {"data": {"enabled": False}}})
    (gateway,) = (each for each in chart.objects_of(chart.rendered(values)) if each["kind"] == "Deployment")
    assert gateway["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    data = next(volume for volume in gateway["spec"]["template"]["spec"]["volumes"] if volume["name"] == "data")
    assert data["emptyDir"] == {"sizeLimit": "10Gi"}


def test_a_single_gateway_with_a_file_is_replaced_not_doubled() -> None:
    assert chart.named("default", "Deployment", "-gateway")["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("variant", PROFILES)
def test_selectors_pick_the_own_pods_and_no_others(variant: str) -> None:
    found = every_pod(variant)
    for service in chart.of_kind(variant, "Service"):
        selector = service["spec"]["selector"].items()
        picked = {pod.labels["app.kubernetes.io/component"] for pod in found if selector <= pod.labels.items()}
        assert picked == {selector_component(service)}
    for owner in chart.of_kind(variant, "Deployment", "StatefulSet"):
        selector = owner["spec"]["selector"]["matchLabels"].items()
        picked_owners = [pod.owner for pod in found if selector <= pod.labels.items()]
        assert picked_owners == [f"{owner['kind']}/{owner['metadata']['name']}"]


def selector_component(service: dict[str, Any]) -> str:
    component: str = service["spec"]["selector"]["app.kubernetes.io/component"]
    return component


def test_a_change_for_gateways_restarts_no_engine() -> None:
    def annotations(values: dict[str, Any], owner: str) -> dict[str, str]:
        (found,) = (
            each
            for each in chart.objects_of(chart.rendered(values))
            if each["kind"] in ("Deployment", "StatefulSet") and each["metadata"]["name"].endswith(owner)
        )
        marks: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
        return marks

    before = chart.values_of("plan:one-l4")
    budget = chart.merged(before, {"config": {"coordinator": {"budget": {"calls": 7}}}})
    assert annotations(before, "-pack-0") == annotations(budget, "-pack-0")
    assert annotations(before, "-gateway") != annotations(budget, "-gateway")
    longer = chart.merged(before, {"config": {"engines": {"start_timeout_s": 1234}}})
    assert annotations(before, "-pack-0") != annotations(longer, "-pack-0")
