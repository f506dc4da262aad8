"""The schema is made of the models, defaults too; a wrong value is refused by a sentence that names its key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmError, package, show
from pydantic import ValidationError
from typer.testing import CliRunner

from appliance.chart.defaults import values_yaml
from appliance.chart.schema import values_schema
from appliance.chart.settings_part import SET_BY_CHART
from appliance.chart.values import HelmValues
from appliance.cli.main import app
from tests.deploy import chart
from tests.deploy.chart import CHART, PROFILES, ROOT

SYNC = "run deploy/helm/sync.sh"


def test_the_schema_is_the_models() -> None:
    assert json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")) == values_schema(), SYNC


def test_the_defaults_are_the_models() -> None:
    written = (CHART / "values.yaml").read_text(encoding="utf-8")
    assert written == values_yaml(), SYNC
    assert HelmValues.model_validate(yaml.safe_load(written)) == HelmValues()


def test_the_starter_pool_is_the_repositorys() -> None:
    written = (CHART / "files/starter.yaml").read_text(encoding="utf-8")
    made = CliRunner().invoke(app, ["chart", "config", str(ROOT / "config/starter.yaml")])
    assert written == made.stdout, SYNC


def test_dashboards_are_copies() -> None:
    def read(directory: Path) -> dict[str, str]:
        return {file.name: file.read_text(encoding="utf-8") for file in directory.glob("*.json")}

    assert read(CHART / "files/dashboards") == read(ROOT / "config/dashboards"), SYNC


def test_versions_agree() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (chart.chart().version, chart.chart().metadata["appVersion"]) == (version, version), SYNC


@pytest.mark.parametrize("variant", PROFILES)
def test_profiles_are_good_to_the_models_too(variant: str) -> None:
    HelmValues.model_validate(chart.merged(chart.chart().values, chart.values_of(variant)))


POOL = {"model": "a", "engine": {"kv_cache_memory_bytes": 10**9}}
GOOD = chart.profile("small")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"confg": {}}, "additional properties 'confg' not allowed"),
        ({"gateway": {"replicas": 0}}, "at '/gateway/replicas': minimum: got 0, want 1"),
        ({"gateway": {"replicas": "two"}}, "at '/gateway/replicas': got string, want integer"),
        ({"images": {"gateway": {"tag": "latest"}}}, "at '/images/gateway/tag'"),
        ({"images": {"gateway": {"digest": "sha256:12"}}}, "at '/images/gateway/digest'"),
        ({"database": {"kind": "mysql"}}, "at '/database/kind'"),
        ({"models": {"store": {"hostPath": "models"}}}, "at '/models/store/hostPath'"),
        ({"gateway": {"resources": {"limits": {"memory": "much"}}}}, "at '/gateway/resources/limits/memory'"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["anywhere"]}}}, "at '/networkPolicy/apiServer/cidrs/0'"),
        ({"packs": [{"name": "Pack"}]}, "at '/packs/0/name'"),
        ({"packs": [{"name": "a", "engines": [{"id": "x"}]}]}, "at '/packs/0/engines/0': missing properties"),
        ({"config": {"coordinator": {"bugdet": {}}}}, "at '/config/coordinator': additional properties 'bugdet'"),
        ({"config": {"pool": [{"model": "a", "engine": {"kv_cache_memory_bytes": 1}}]}}, "kv_cache_memory_bytes': min"),
        ({"config": {"data_dir": "/x"}}, "at '/config': additional properties 'data_dir' not allowed"),
        ({"config": {"models": {"store": "/x"}}}, "at '/config': additional properties 'models' not allowed"),
        ({"config": {"server": {"host": "0.0.0.0"}}}, "at '/config/server': additional properties 'host' not allowed"),
    ],
)
def test_the_schema_names_the_key(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refusal:
        chart.rendered(wrong)
    assert words in str(refusal.value)


def over(*layers: dict[str, Any]) -> dict[str, Any]:
    return chart.merged(GOOD, *layers)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"config": {"version": 1}}, "config.pool: no model is named"),
        ({"config": {"pool": [POOL]}}, "config.roles: nobody plays a role"),
        (over({"config": {"roles": {"planner": ["gpt"]}}}), "config.roles.planner: gpt is not in config.pool"),
        (over({"config": {"roles": {"executors": {"code": ["x"]}}}}), "config.roles.executors.code: x is not in"),
        (over({"packs": [{"name": "a"}, {"name": "a"}]}), "packs: a stands twice"),
        (over({"packs": []}), "packs: there is none"),
        (over({"models": {"store": {"kind": "embedded"}}}), "models.store.kind: embedded holds the starter models"),
        (over({"models": {"store": {"kind": "hostPath"}}}), "models.store.hostPath: it is empty"),
        (over({"models": {"catalog": {"kind": "configMap"}}}), "models.catalog.configMap: it is empty"),
        ({"models": {"catalog": {"kind": "store"}}}, "models.catalog.kind: the embedded store has no catalog"),
        ({"gateway": {"replicas": 2}}, "gateway.replicas: several gateways need a database that they share"),
        ({"gateway": {"autoscaling": {"enabled": True}}}, "gateway.replicas: several gateways need a database"),
        ({"database": {"kind": "external"}}, "database.external.existingSecret: it is empty"),
        (
            {"database": {"kind": "external", "external": {"existingSecret": "x"}}},
            "networkPolicy.database.to: nobody is named",
        ),
        ({"images": {"requireDigests": True}}, "images.gateway.digest: it is empty"),
        ({"ingress": {"enabled": True}}, "ingress.host: it is empty"),
        ({"gatewayApi": {"enabled": True}}, "gatewayApi.parentRefs: nobody is named"),
        ({"ingress": {"host": "a"}, "tls": {"certManager": {"enabled": True}}}, "tls.certManager.issuerRef: it is"),
        ({"engines": {"autoscaling": {"enabled": True}}}, "monitoring.prometheusAddress: it is empty"),
        (
            {"engines": {"autoscaling": {"enabled": True, "kind": "hpa"}}, "gateway": {"discovery": {"kind": "urls"}}},
            "gateway.discovery.kind: packs that scale are found by EndpointSlices only",
        ),
        (over({"groups": chart.GROUP["groups"]}), "groups: large serves deepseek-v3, which is not in config.pool"),
        (
            chart.merged(chart.GROUP, {"packs": [{"name": "pack-0", "gpus": 1}]}),
            "packs: pack-0 has no engines, so it would start every model of the pool",
        ),
        (
            chart.merged(chart.GROUP, {"groups": [{**chart.GROUP["groups"][0], "nodes": 3}]}),  # type: ignore[index]  # plain YAML
            "groups: large: tensor_parallel_size × pipeline_parallel_size is 16, but nodes × gpus_per_node is 24",
        ),
        ({"fullnameOverride": "vllm"}, 'fullnameOverride: names would begin with "vllm"'),
        (
            chart.merged(chart.values_of("plan:one-l4"), {"config": {"pool": [POOL], "roles": {"generalist": ["a"]}}}),
            "is not in config.pool",
        ),
    ],
)
def test_what_holds_between_values_is_checked_when_they_are_rendered(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError) as refusal:
        chart.rendered(wrong)
    assert words in str(refusal.value)


def test_a_service_is_never_called_vllm() -> None:
    with pytest.raises(HelmError, match="vllm"):
        chart.chart().render({"nameOverride": "x"}, name="vllm-x", namespace="ai")


def test_a_model_of_a_pack_must_be_in_the_pool() -> None:
    wrong = chart.merged(chart.values_of("plan:one-l4"), {"config": {"pool": [POOL], "roles": {"generalist": ["a"]}}})
    with pytest.raises(ValidationError, match="config"):
        HelmValues.model_validate(wrong)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["chart", *arguments])
    return result.exit_code, result.output


def test_check_reads_files_on_top_of_each_other(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(chart.planned("one-l4"), encoding="utf-8")
    assert run("check", str(plan)) == (0, "good; 1 gateways, 1 packs in 1 pods\n")
    more = tmp_path / "more.yaml"
    more.write_text("gateway: {replicas: 2}\n", encoding="utf-8")
    code, said = run("check", str(plan), str(more))
    assert code == 2
    assert "gateway.replicas: several gateways need a database" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("[]", "expected a mapping"),
        ("gatway: {}", "gatway: unknown key"),
        ("config: {pool: []}", "config: "),
        ("engines: {autoscaling: {minReplicas: 9}}", "minReplicas is more than maxReplicas"),
    ],
)
def test_check_refuses_with_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(text, encoding="utf-8")
    code, said = run("check", str(file))
    assert code == 2
    assert words in said


def test_a_configuration_becomes_values() -> None:
    code, said = run("config", str(ROOT / "config/examples/one-gpu-node.yaml"))
    assert code == 0
    values = yaml.safe_load(said)
    assert not values["config"].keys() & set(SET_BY_CHART[""])
    assert "python" not in values["config"]["engines"]
    chart.rendered(chart.merged(values, {"models": {"store": {"kind": "claim"}}, "packs": [{"name": "a", "gpus": 2}]}))


def test_the_chart_is_packaged_whole(tmp_path: Path) -> None:
    archive = package(str(CHART), destination=str(tmp_path))
    loaded = Chart.load(archive)
    names = {file["name"] for file in loaded.files}
    assert {"files/alerts.yaml", "files/starter.yaml", "files/tests/egress.py", "values-airgap.yaml"} <= names
    assert loaded.schema == values_schema()
    assert loaded.render({}, name="demo", namespace="ai").keys() == chart.chart().render({}, name="demo").keys()
    assert "gateway:" in show(archive, output_format="values")
