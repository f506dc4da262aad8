"""Configuration: every problem is named with its file and key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.config import ENVIRONMENT_OVERRIDES, Settings, json_schema, load
from appliance.errors import ConfigError

ROOT = Path(__file__).parents[1]

MINIMAL: dict[str, Any] = {
    "models": {"catalog": "catalog", "store": "store"},
    "pool": [{"model": "a", "engine": {"kv_cache_memory_bytes": 1_000_000}}],
    "roles": {"generalist": ["a"]},
}


def written(tmp_path: Path, document: object) -> Path:
    file = tmp_path / "appliance.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return file


def changed(path: str, value: object) -> dict[str, Any]:
    """MINIMAL with one dotted key set."""
    document: Any = copy.deepcopy(MINIMAL)
    *keys, last = path.split(".")
    node = document
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[last] = value
    assert isinstance(document, dict)
    return document


def test_minimal_file_gets_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, MINIMAL), {})
    assert settings.server.port == 8000
    assert settings.server.require_api_key
    assert settings.coordinator.virtual_model == "auto"


def test_paths_of_models_are_taken_from_the_file_and_others_from_the_data_directory(tmp_path: Path) -> None:
    settings = load(written(tmp_path, MINIMAL), {})
    assert settings.models.catalog == tmp_path / "catalog"
    assert settings.below_data_dir(settings.ledger.file) == settings.data_dir / "ledger.sqlite"
    assert settings.below_data_dir(Path("/etc/keys")) == Path("/etc/keys")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("server.port", 0, "server.port: "),
        ("server.prot", 1, "server.prot: unknown key"),
        ("nothing", 1, "nothing: unknown key"),
        ("server.host", 5, "server.host: "),
        ("engines.device", "tpu", "engines.device: "),
        ("pool", [], "pool: "),
        ("pool.0.model", "Not An Id", "pool.0.model: "),
        ("pool.0.engine", {}, "pool.0.engine.kv_cache_memory_bytes: "),
        ("pool.0.replicas", 0, "pool.0.replicas: "),
        ("pool.0.engine", {"kv_cache_memory_bytes": 10**6, "gpu_ids": ["0", "1"]}, "pool.0.engine: gpu_ids names 2"),
        ("roles.generalist", ["b"], "roles.generalist: b is not in the pool"),
        ("roles.planner", ["a"], "roles.executors: a planner needs"),
        ("roles.executors", {"math": ["b"]}, "roles.executors.math: b is not in the pool"),
        ("coordinator.virtual_model", "a", "coordinator.virtual_model: a is also"),
        ("server", {"host": "0.0.0.0", "require_api_key": False}, "server: require_api_key: false is allowed"),
        ("telemetry.otlp_endpoint", "collector:4318", "telemetry.otlp_endpoint: an address as http://collector:4318"),
        ("telemetry.otlp_endpoint", "http://me:secret@collector:4318", "without a user"),
        ("telemetry.otlp_endpoint", "http://collector:port", "telemetry.otlp_endpoint: an address as"),
        ("version", 2, "version: "),
    ],
)
def test_problem_names_file_and_key(tmp_path: Path, path: str, value: object, words: str) -> None:
    file = written(tmp_path, changed(path, value))
    with pytest.raises(ConfigError) as error:
        load(file, {})
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


def test_an_option_that_a_setting_says_already_is_refused_with_its_key(tmp_path: Path) -> None:
    document = changed("pool.0.engine.extra_args", ["--max-num-seqs", "4"])
    with pytest.raises(
        ConfigError, match=r"pool\.0\.engine\.extra_args: --max-num-seqs is set by engine\.max_num_seqs; set that"
    ):
        load(written(tmp_path, document), {})


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    document = changed("server.port", 0) | {"nothing": 1}
    with pytest.raises(ConfigError, match=r"(?s)server\.port.*; nothing"):
        load(written(tmp_path, document), {})


def test_model_that_stands_twice(tmp_path: Path) -> None:
    document = copy.deepcopy(MINIMAL)
    document["pool"] *= 2
    with pytest.raises(ConfigError, match="a stands twice; use replicas"):
        load(written(tmp_path, document), {})


@pytest.mark.parametrize(
    ("content", "words"), [("a: [", "not valid YAML"), ("", "expected a mapping"), ("- 1", "expected a mapping")]
)
def test_file_that_is_no_configuration(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(written(tmp_path, content), {})


def test_file_that_is_not_there_or_not_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path, {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="can't be read"):
        load(binary, {})


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    environment = {
        "APPLIANCE_HOST": "127.0.0.2",
        "APPLIANCE_PORT": "9001",
        "APPLIANCE_DATA_DIR": "/elsewhere",
        "APPLIANCE_ENGINE_PYTHON": "/opt/python",
        "APPLIANCE_WORKERS": "3",
        "APPLIANCE_PACK_KEY_FILE": "/run/pack-key",
        "APPLIANCE_SALT_FILE": "/run/salt",
        "APPLIANCE_PACK_NAME": "pack-0-0",
        "APPLIANCE_PACK_HOST": "0.0.0.0",
        "APPLIANCE_PACK_PORT": "8099",
        "APPLIANCE_ENGINE_HOST": "10.0.0.7",
        "APPLIANCE_NODE": "gpu-1",
        "APPLIANCE_PACK_URLS": "http://a:8090, http://b:8090/",
        "APPLIANCE_PACK_SERVICE": "packs",
        "LWS_GROUP_SIZE": "3",
        "LWS_WORKER_INDEX": "2",
        "LWS_LEADER_ADDRESS": "big-0.big",
    }
    assert set(environment) == set(ENVIRONMENT_OVERRIDES)
    settings = load(written(tmp_path, changed("server.port", 9000)), environment)
    assert (settings.server.host, settings.server.port) == ("127.0.0.2", 9001)
    assert (settings.data_dir, settings.engines.python) == (Path("/elsewhere"), Path("/opt/python"))
    assert settings.server.workers == 3
    cluster = settings.cluster
    assert (cluster.key_file, cluster.salt_file) == (Path("/run/pack-key"), Path("/run/salt"))
    assert (cluster.door.name, cluster.door.host, cluster.door.port) == ("pack-0-0", "0.0.0.0", 8099)
    assert (cluster.door.engine_host, cluster.door.node) == ("10.0.0.7", "gpu-1")
    assert cluster.discovery.urls == ("http://a:8090", "http://b:8090")
    assert (cluster.group.size, cluster.group.rank, cluster.group.leader) == (3, 2, "big-0.big")
    assert cluster.discovery.kubernetes.wanted == "kubernetes.io/service-name=packs"


def test_wrong_environment_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.port"):
        load(written(tmp_path, MINIMAL), {"APPLIANCE_PORT": "many"})


@pytest.mark.parametrize("section", [5, [1], "text"])
def test_section_that_is_no_mapping_is_an_error_even_under_an_override(tmp_path: Path, section: object) -> None:
    with pytest.raises(ConfigError, match="server"):
        load(written(tmp_path, changed("server", section)), {"APPLIANCE_PORT": "9001"})


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(written(tmp_path, MINIMAL), {})
    with pytest.raises(ValueError, match="frozen"):
        settings.data_dir = Path("x")  # type: ignore[misc]  # what is tried is that it is refused


def test_schema_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["properties"]) == set(Settings.model_fields)
    sections = [schema, *schema["$defs"].values()]
    undescribed = [
        name
        for section in sections
        for name, described in section.get("properties", {}).items()
        if "description" not in described and "$ref" not in described  # a section describes itself
    ]
    assert undescribed == []
    assert all("description" in section for section in schema["$defs"].values())


@pytest.mark.parametrize(
    "file",
    sorted(f for f in (ROOT / "config").rglob("*.yaml") if f.parent.name in {"config", "examples"}),
    ids=lambda file: file.name,
)
def test_every_example_loads(file: Path) -> None:
    load(file, {})
