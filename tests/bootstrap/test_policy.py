from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.pool import pool_models
from appliance.config import load
from appliance.errors import ConfigError

STARTER = Path("config/starter.yaml")


def policy_settings(tmp_path: Path, policy: dict[str, object]) -> Path:
    document = yaml.safe_load(STARTER.read_text(encoding="utf-8"))
    base = STARTER.resolve().parent
    document["models"] = {key: str(base / path) for key, path in document["models"].items()}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**document, "policy": policy}), encoding="utf-8")
    return file


def test_licences_and_countries_become_models(tmp_path: Path) -> None:
    labels = {
        "open": {},
        "apache": {"licences": ["Apache-2.0"]},
        "nowhere": {"countries": ["Atlantis"]},
        "one": {"models": ["starter-math"], "nodes": ["local"]},
    }
    settings = load(policy_settings(tmp_path, {"labels": labels, "default_labels": ["open"]}), {})
    policy = data_policy(settings, pool_models(settings))
    assert policy.refusal(["open"], "starter-planner", "anywhere") == ""
    for member in settings.pool:
        assert policy.refusal(["apache"], member.model, "local") == ""
        assert policy.refusal(["nowhere"], member.model, "local").startswith("label nowhere: country none of")
    assert policy.refusal(["one"], "starter-math", "local") == ""
    assert policy.refusal(["one"], "starter-math", "remote") == "label one: node remote is not allowed for it"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"labels": {"x": {"models": ["gpt"]}}}, r"policy\.labels\.x\.models: gpt is not in the pool; name one of"),
        ({"default_labels": ["x"]}, r"policy\.default_labels: x has no rule; add it under policy\.labels"),
        ({"labels": {"Upper Case": {}}}, r"policy\.labels\.Upper Case"),
    ],
)
def test_a_policy_that_can_not_hold_is_refused(tmp_path: Path, policy: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(policy_settings(tmp_path, policy), {})
