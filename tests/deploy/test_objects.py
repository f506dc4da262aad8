"""Every object of every profile is what Kubernetes 1.33 to 1.37 takes, unknown fields refused."""

from __future__ import annotations

import functools
import json

import kubernetes_validate
import pytest
from helm_python import lint
from kubernetes_validate import utils

from tests.deploy import chart
from tests.deploy.custom_resources import SCHEMAS, problems

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
SINCE = {"ResourceClaimTemplate": "1.34"}
"""Kinds of which older versions know another form only."""

# The package reads its megabytes of definitions anew for each object.
utils.schema_contents = functools.cache(utils.schema_contents)


@functools.cache
def check(document: str, version: str) -> None:
    """Once for objects that are the same in several profiles."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(version: str) -> None:
    for variant in chart.PROFILES:
        for each in chart.objects(variant):
            if each["apiVersion"] in SCHEMAS or version < SINCE.get(each["kind"], ""):
                continue
            try:
                check(json.dumps(each, sort_keys=True), version)
            except kubernetes_validate.ValidationError as error:
                pytest.fail(f"{variant}: {each['kind']} {each['metadata']['name']}: {error}")


@pytest.mark.parametrize("version", VERSIONS)
def test_pods_of_groups_are_valid(version: str) -> None:
    """As pods of their own, since nobody here knows the object that they stand in."""
    for pod in chart.pods("group"):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": pod.labels}, "spec": pod.spec}
        check(json.dumps(whole, sort_keys=True), version)


@pytest.mark.parametrize("variant", chart.PROFILES)
def test_custom_resources_have_their_operators_form(variant: str) -> None:
    for each in chart.objects(variant):
        if each["apiVersion"] in SCHEMAS:
            assert problems(each) == []


def test_every_custom_resource_is_rendered_by_some_profile() -> None:
    kinds = {each["kind"] for variant in chart.PROFILES for each in chart.objects(variant)}
    assert {kind for known in SCHEMAS.values() for kind in known} <= kinds


@pytest.mark.parametrize("variant", chart.PROFILES)
def test_names_are_unique_short_and_never_vllm(variant: str) -> None:
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in chart.objects(variant)]
    assert len(names) == len(set(names))
    assert all(len(name) <= 52 and not name.startswith("vllm") for _, _, name in names)  # 63 less a pod's endings


@pytest.mark.parametrize("variant", ["default", "cpu", "small", "small+ha+airgap", "everything"])
def test_helm_lint_finds_nothing(variant: str) -> None:
    report = lint(str(chart.CHART), chart.values_of(variant), strict=True, namespace=chart.NAMESPACE, quiet=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= 2] == []
