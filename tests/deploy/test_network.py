"""NetworkPolicies as a whole: every pod is denied everything, and only the ways that are named are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.deploy import chart
from tests.deploy.chart import PROFILES, pods

COVERED = [name for name in PROFILES if name != "open"]


def policies(variant: str) -> tuple[dict[str, Any], ...]:
    return chart.of_kind(variant, "NetworkPolicy")


def picks(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def of_pod(variant: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [policy["spec"] for policy in policies(variant) if picks(policy["spec"]["podSelector"], labels)]


def reaches(variant: str, source: Mapping[str, str], target: Mapping[str, str], port: int) -> bool:
    """May `source` open a connection to `port` of `target`, both being pods of this release?"""

    def allowed(rules: Iterable[Mapping[str, Any]], side: str, peer: Mapping[str, str]) -> bool:
        return any(
            any(set(at) == {"podSelector"} and picks(at["podSelector"], peer) for at in rule[side])
            and any(way["port"] <= port <= way.get("endPort", way["port"]) for way in rule["ports"])
            for rule in rules
        )

    out = [rule for policy in of_pod(variant, source) for rule in policy.get("egress", ())]
    into = [rule for policy in of_pod(variant, target) for rule in policy.get("ingress", ())]
    return allowed(out, "to", target) and allowed(into, "from", source)


def labels_of(variant: str) -> dict[str, Mapping[str, str]]:
    """Network place → labels of a pod that stands there."""
    return {pod.labels["appliance/network"]: pod.labels for pod in pods(variant)}


@pytest.mark.parametrize("variant", COVERED)
def test_every_pod_is_denied_by_default_both_ways(variant: str) -> None:
    for pod in pods(variant):
        denying = [
            spec
            for spec in of_pod(variant, pod.labels)
            if spec["policyTypes"] == ["Ingress", "Egress"] and not {"ingress", "egress"} & spec.keys()
        ]
        assert denying, f"{pod.owner} is not covered"


@pytest.mark.parametrize("variant", COVERED)
def test_no_rule_is_open_to_everybody(variant: str) -> None:
    """A rule without `to`, `from` or `ports` would mean everyone, or every port."""
    for policy in policies(variant):
        for side, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(side, ()):
                assert rule[peers]
                assert rule["ports"]
                assert all(peer for peer in rule[peers])


@pytest.mark.parametrize("variant", COVERED)
def test_packs_and_database_open_no_connection_at_all(variant: str) -> None:
    for place in ("pack", "database"):
        if variant != "group" and place in (known := labels_of(variant)):
            assert [rule for spec in of_pod(variant, known[place]) for rule in spec.get("egress", ())] == []


@pytest.mark.parametrize("variant", COVERED)
def test_who_reaches_whom_within_the_release(variant: str) -> None:
    known = labels_of(variant)
    ports = {"gateway": (8000,), "pack": (8090, 8100, 8163), "database": (5432,)}
    open_ways = {
        (source, target)
        for source in known
        for target, wanted in ports.items()
        if target in known and all(reaches(variant, known[source], known[target], port) for port in wanted)
    }
    expected = {("gateway", "pack")}
    expected |= {("test", "gateway")} if "test" in known else set()
    expected |= {("gateway", "database")} if "database" in known else set()
    assert open_ways == expected
    assert not reaches(variant, known["gateway"], known["pack"], 22)


@pytest.mark.parametrize("variant", COVERED)
def test_gateways_leave_the_release_for_named_places_only(variant: str) -> None:
    rules = [r for spec in of_pod(variant, labels_of(variant)["gateway"]) for r in spec.get("egress", ())]
    ports = {way["port"] for rule in rules for way in rule["ports"]}
    expected = {53, 8090, 8100}
    expected |= set() if variant == "static" else {443, 6443}
    expected |= {5432} if chart.values_of(variant).get("database") else set()
    expected |= {443, 8080} if variant == "everything" else set()
    assert ports == expected
    blocks = {peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"] if "ipBlock" in peer}
    assert not {"0.0.0.0/0", "::/0"} & blocks


def test_ranks_of_a_group_reach_each_other_dns_and_nothing_else() -> None:
    ranks = [pod.labels for pod in pods("group") if pod.labels.get("appliance/pack") == "large"]
    other = next(pod.labels for pod in pods("group") if pod.labels.get("appliance/pack") == "pack-0")
    for port in (8090, 29500, 45678):
        assert all(reaches("group", source, target, port) for source in ranks for target in ranks)
        assert not any(reaches("group", rank, other, port) for rank in ranks)
        assert not any(reaches("group", other, rank, port) for rank in ranks)
    leaving = [rule for spec in of_pod("group", ranks[0]) for rule in spec.get("egress", ())]
    assert len(leaving) == 2


def test_ways_to_collector_and_identity_provider_are_opened_where_they_are_configured() -> None:
    said = chart.merged(
        chart.profile("small"),
        {
            "config": {"telemetry": {"otlp_endpoint": "http://collector.telemetry:4318"}},
            "networkPolicy": {
                "telemetry": {"to": [{"podSelector": {"matchLabels": {"app": "collector"}}}]},
                "identity": {"to": [{"ipBlock": {"cidr": "10.1.1.1/32"}}], "ports": [8443]},
            },
        },
    )
    (policy,) = (
        each
        for each in chart.objects_of(chart.rendered(said))
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"].endswith("-gateway")
    )
    ways = [(rule["to"][0], [way["port"] for way in rule["ports"]]) for rule in policy["spec"]["egress"]]
    assert ({"podSelector": {"matchLabels": {"app": "collector"}}}, [4318]) in ways
    assert ({"ipBlock": {"cidr": "10.1.1.1/32"}}, [8443]) in ways


def test_metrics_are_read_by_scrapers_only_where_they_are_wanted() -> None:
    def sources(variant: str, name: str) -> list[Any]:
        policy = chart.named(variant, "NetworkPolicy", name)
        return [peer for rule in policy["spec"]["ingress"] for peer in rule["from"] if "namespaceSelector" in peer]

    scraper = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert sources("default", "-packs") == []
    assert sources("small+ha", "-packs") == [scraper]
    assert scraper in sources("small+ha", "-gateway")


def test_the_pods_that_try_to_leave_stand_where_gateways_and_packs_stand_but_serve_nothing() -> None:
    found = {pod.owner: pod.labels for pod in pods("default")}
    for place in ("gateway", "pack"):
        labels = found[f"Pod/demo-appliance-test-egress-{place}"]
        assert labels["appliance/network"] == place
        assert labels["app.kubernetes.io/component"] == "test"


def test_without_policies_the_notes_warn() -> None:
    assert policies("open") == ()
    assert "networkPolicy.enabled is off" in chart.notes("open")
