"""What pods read is a configuration that the appliance takes, and what they run are verbs with these options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer._click.core import Command, Context

from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.pack_plan import read_plan
from appliance.chart import places
from appliance.chart.settings_part import SET_BY_CHART, without_chart_keys
from appliance.cli.main import app
from appliance.config import Settings, load
from tests.deploy import chart
from tests.deploy.chart import PROFILES, pods


def configuration(variant: str, of: str, directory: Path) -> Settings:
    """The configuration of gateways or packs, read as a pod reads it."""
    file = directory / "config.yaml"
    file.write_text(chart.named(variant, "ConfigMap", f"-{of}")["data"]["config.yaml"], encoding="utf-8")
    return load(file, {})


@pytest.mark.parametrize("variant", PROFILES)
def test_gateways_read_a_good_configuration(variant: str, tmp_path: Path) -> None:
    settings = configuration(variant, "gateway", tmp_path)
    coordinator_options(settings)
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8000)
    assert settings.server.require_api_key
    assert settings.access.pepper_file == Path("/etc/appliance/secrets/pepper")
    (gateway,) = (pod for pod in pods(variant) if pod.labels["app.kubernetes.io/component"] == "gateway")
    probes = {
        gateway.spec["containers"][0][f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "liveness", "readiness")
    }
    assert probes == set(settings.server.open_paths)
    assert not settings.models.verify_digests
    found = settings.cluster.discovery
    if variant == "static":
        assert found.urls == tuple(
            f"http://demo-appliance-{pod}.demo-appliance-packs.ai.svc:8090" for pod in ("pack-0-0", "pack-0-1", "b-0")
        )
    else:
        assert found.kubernetes.service == "demo-appliance-packs"
    assert settings.ledger.audit.mode == "required"
    assert settings.ledger.audit.key_file == Path("/etc/appliance/secrets/audit-key")
    assert (settings.ledger.url_file is not None) is bool(chart.values_of(variant).get("database"))


@pytest.mark.parametrize("variant", PROFILES)
def test_packs_read_a_good_configuration(variant: str, tmp_path: Path) -> None:
    settings = configuration(variant, "packs", tmp_path)
    assert (settings.cluster.door.host, settings.cluster.door.port) == ("0.0.0.0", 8090)
    assert settings.engines.first_port == 8100
    assert settings.data_dir == Path("/var/lib/appliance")
    assert settings.cluster.key_file == Path("/etc/appliance/secrets/pack-key")


def test_what_the_values_say_arrives_whole(tmp_path: Path) -> None:
    for example in chart.PLANNED:
        said = load(chart.ROOT / f"config/examples/{example}.yaml", {})
        read = configuration(f"plan:{example}", "gateway", tmp_path)
        assert read.pool == said.pool
        assert read.coordinator == said.coordinator
        assert read.placement == said.placement
        assert {role: set(models) for role, models in read.role_models().items()} == {
            role: set(models) for role, models in said.role_models().items()
        }


def test_without_a_configuration_it_is_the_starter_pool(tmp_path: Path) -> None:
    starter = load(chart.ROOT / "config/starter.yaml", {})
    read = configuration("default", "gateway", tmp_path)
    assert (read.pool, read.roles, read.coordinator) == (starter.pool, starter.roles, starter.coordinator)
    assert not read.ledger.keep_content  # the starter configuration keeps texts, a default must not


def test_the_chart_sets_what_values_may_not(tmp_path: Path) -> None:
    document = yaml.safe_load(chart.named("small", "ConfigMap", "-gateway")["data"]["config.yaml"])
    assert without_chart_keys(document) == chart.profile("small")["config"]
    assert document["models"] == {"catalog": places.CATALOG, "store": places.STORE, "verify_digests": False}
    assert {section.partition(".")[0] for section in SET_BY_CHART} - {""} <= Settings.model_fields.keys()


@pytest.mark.parametrize("variant", PROFILES)
def test_each_pack_finds_itself_in_its_plan(variant: str, tmp_path: Path) -> None:
    for pack in chart.values_of(variant).get("packs", ()):
        if not pack.get("engines"):
            continue
        file = tmp_path / "plan.yaml"
        file.write_text(chart.named(variant, "ConfigMap", f"-{pack['name']}")["data"]["plan.yaml"], encoding="utf-8")
        read = read_plan(file)
        assert read.names == (pack["name"],)
        assert [engine.engine_id for engine in read.plan.engines] == [engine["id"] for engine in pack["engines"]]
        bytes_of = [engine.kv_cache_memory_bytes for engine in read.plan.engines]
        assert bytes_of == [engine["kv_cache_memory_bytes"] for engine in pack["engines"]]


def test_the_plan_of_a_group_is_one_engine_over_its_ranks(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(chart.named("group", "ConfigMap", "-large")["data"]["plan.yaml"], encoding="utf-8")
    (engine,) = read_plan(file).plan.engines
    assert (engine.tensor_parallel_size, engine.pipeline_parallel_size, len(engine.gpu_ids)) == (8, 2, 8)


def test_turns_go_with_their_pack() -> None:
    engines = chart.values_of("plan:one-l4")["packs"][0]["engines"]
    ids = [engine["id"] for engine in engines]
    turns = [{"name": "turn-0", "engines": ids}, {"name": "turn-1", "engines": ["elsewhere-0"]}]
    texts = chart.rendered(chart.merged(chart.values_of("plan:one-l4"), {"turn_groups": turns}))
    (plan,) = (each["data"]["plan.yaml"] for each in chart.objects_of(texts) if "plan.yaml" in each.get("data", {}))
    assert yaml.safe_load(plan)["turn_groups"] == [turns[0]]


def parsed(arguments: list[str]) -> str:
    """The verb, once typer's parser has taken all of its options."""
    command: Command = typer.main.get_command(app)
    verb, context = "", Context(command)
    while hasattr(command, "resolve_command"):
        name, command, arguments = command.resolve_command(context, arguments)
        verb = f"{verb} {name}".strip()
        context = Context(command, info_name=name, parent=context)
    command.parse_args(context, list(arguments))
    return verb


@pytest.mark.parametrize("variant", PROFILES)
def test_commands_are_verbs_with_these_options(variant: str) -> None:
    found: dict[str, set[str]] = {}
    for pod in pods(variant):
        for container in pod.containers:
            if "args" in container:
                place = pod.labels["app.kubernetes.io/component"]
                found.setdefault(place, set()).add(parsed(list(container["args"])))
    verbs = {"gateway": {"serve"}, "pack": {"engines", "models verify"}}
    if variant == "group":
        verbs["rank"] = {"engines", "models verify"}
    if variant == "open":
        verbs["pack"] = {"engines"}
    assert found == verbs


def test_an_unknown_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["models", "verify", "--conifg", "x"])


def environment(variant: str, name: str) -> dict[str, Any]:
    """Variables of a pack's pod."""
    spec = chart.named(variant, "StatefulSet", name)["spec"]["template"]["spec"]
    return {entry["name"]: entry for entry in spec["containers"][0]["env"]}


def test_packs_learn_name_address_and_node_from_kubernetes() -> None:
    fields = {
        name: entry["valueFrom"]["fieldRef"]["fieldPath"] for name, entry in environment("default", "-pack-0").items()
    }
    assert fields == {
        "APPLIANCE_PACK_NAME": "metadata.name",
        "APPLIANCE_ENGINE_HOST": "status.podIP",
        "APPLIANCE_NODE": "spec.nodeName",
    }
    assert environment("everything", "-pack-0")["NCCL_DEBUG"]["value"] == "WARN"


def test_models_of_a_pack_are_verified_before_it_starts() -> None:
    spec = chart.named("plan:one-l4", "StatefulSet", "-pack-0")["spec"]["template"]["spec"]
    (verify,) = spec["initContainers"]
    models = [engine["model"] for engine in chart.values_of("plan:one-l4")["packs"][0]["engines"]]
    assert verify["args"][4:] == list(dict.fromkeys(models))
    assert verify["image"] == spec["containers"][0]["image"]


def test_keys_are_random_and_of_full_length() -> None:
    import base64

    def data() -> dict[str, str]:
        (secret,) = (each for each in chart.objects_of(chart.rendered({})) if each["kind"] == "Secret")
        return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}

    first, second = data(), data()
    assert first.keys() == {"api-keys", "metrics-key", "pack-key", "pepper", "salt", "audit-key"}
    assert all(first[key] != second[key] for key in first)
    assert first["metrics-key"] in first["api-keys"].splitlines()
    assert min(len(first["salt"]), len(first["pepper"])) >= 32
    assert len(bytes.fromhex(first["audit-key"].strip())) == 32
    assert all(len(key) == 43 for key in first["api-keys"].splitlines())
