"""Every file in config/ loads, names models of the catalog, and the reference in docs/ is that of the code."""

from pathlib import Path

import pytest
import yaml

from appliance.bootstrap.options import coordinator_options
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.pool import pool_models
from appliance.bootstrap.strategies import load_strategies
from appliance.cli.config_reference import reference
from appliance.config import ENVIRONMENT_OVERRIDES, json_schema, load
from appliance.coordinator.router import Router
from appliance.domain.policy import DataPolicy, Grant, Wish
from appliance.errors import ConfigError

ROOT = Path(__file__).parents[1]
FILES = [*sorted(ROOT.glob("config/*.yaml")), *sorted(ROOT.glob("config/examples/*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_configuration_loads_and_its_models_are_in_the_catalog(file: Path) -> None:
    settings = load(file, {})
    models = pool_models(settings)
    assert set(models) == {member.model for member in settings.pool}
    for member in settings.pool:
        assert member.engine.max_model_len <= models[member.model].context_tokens
    Router(coordinator_options(settings), load_strategies(settings))


POLICIES = sorted(ROOT.glob("config/policies/*.yaml"))


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_policies_load_beside_the_starter_pool(file: Path, tmp_path: Path) -> None:
    settings = load(with_policies(tmp_path, file), {})
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    policy = data_policy(settings, pool_models(settings))
    assert set(said["policies"]) <= set(policy.policies)
    assert set(policy.rules) == set(said.get("labels", {}))
    for name in policy.policies:
        granted = policy.granted(name, (), Wish())
        assert isinstance(granted, Grant)


def test_the_policies_say_what_their_comments_say(tmp_path: Path) -> None:
    def of(name: str) -> DataPolicy:
        settings = load(with_policies(tmp_path, ROOT / "config" / "policies" / f"{name}.yaml"), {})
        return data_policy(settings, pool_models(settings))

    example, origins, closed = of("example"), of("origins"), of("closed")
    assert example.refusal(["secret"], "starter-math", "local") == ""
    assert example.refusal(["secret"], "starter-math", "elsewhere").startswith("label secret: node elsewhere")
    assert str(example.denial("standard", ["secret"], "starter-math")) == (
        "policy standard: label secret may not be borne under it"
    )
    clipped = example.granted("batch", (), Wish(5_000))
    assert isinstance(clipped, Grant)
    assert clipped.wish.max_tokens == 1000
    assert origins.refusal([], "starter-math", "local") == ""
    assert "country none" in origins.refusal([], "starter-math", "local", "europe")
    assert "is not allowed" in closed.refusal([], "starter-math", "local")
    assert closed.refusal([], "starter-math", "local", "admitted") == ""


def with_policies(directory: Path, *files: Path) -> Path:
    """The starter configuration with these files of policies."""
    document = yaml.safe_load((ROOT / "config" / "starter.yaml").read_text(encoding="utf-8"))
    document["models"] = {key: str(ROOT / "config" / path) for key, path in document["models"].items()}
    document["policy"] = {"files": [str(file) for file in files]}
    written = directory / "config.yaml"
    written.write_text(yaml.safe_dump(document), encoding="utf-8")
    return written


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("labels: {x: {}}\n", r"x is given elsewhere too; rename"),
        ("policies: {p: {modles: []}}\n", r"policies\.p\.modles: unknown key"),
        ("policies: {p: {models: [gpt]}}\n", r"policy\.policies\.p\.models: gpt is not in the pool"),
        ("policies: {p: {strategies: [magic]}}\n", r"there is no strategy magic"),
        ("policies: {p: {only_labels: [y]}}\n", r"policies\.p\.only_labels: y has no rule"),
        ("policies: {p: {limits: {tokens_per_min: 0}}}\n", r"tokens_per_min"),
        ("version: 2\n", r"version"),
        ("- x\n", r"expected a mapping"),
        (None, r"no such file; correct policy.files"),
    ],
)
def test_a_policy_file_that_can_not_be_used_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("labels: {x: {}}\n")
    if content is not None:
        second.write_text(content)
    with pytest.raises(ConfigError, match=words):
        load(with_policies(tmp_path, first, second), {})


def test_documents_of_the_configuration_are_up_to_date() -> None:
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == reference(json_schema(), ENVIRONMENT_OVERRIDES), "run `make config-docs`"
