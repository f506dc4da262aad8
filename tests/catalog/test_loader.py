"""Manifests and their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appliance.catalog.loader import find, load_catalog, load_manifest, weights_bytes
from appliance.domain.endpoint import EngineTask
from appliance.domain.model import Role
from appliance.errors import CatalogError
from tests.catalog.tiny_model import UPPER
from tests.fakes.engine_commands import ROOT

LOWER = """\
revision: r1
architecture: LlamaForCausalLM
parameters: 20
dtype: bfloat16
context_tokens: 1024
files:
- {path: model.safetensors, size_bytes: 48, sha256: %s}
""".replace("%s", "a" * 64)


def write(directory: Path, text: str, name: str = "tiny.yaml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_a_manifest_becomes_a_model(tmp_path: Path) -> None:
    write(tmp_path, UPPER + LOWER)
    catalog = load_catalog(tmp_path)
    model = find(catalog, "tiny")
    assert model.roles == {Role.EXECUTOR}
    assert model.skills == {"math": 1.0}
    assert weights_bytes(model) == 48


def test_a_model_that_embeds_plays_no_role_and_has_no_prompts(tmp_path: Path) -> None:
    speechless = "".join(line for line in UPPER.splitlines(True) if not line.startswith(("roles", "prompt_set")))
    write(tmp_path, speechless + LOWER + "task: embed\n")
    model = find(load_catalog(tmp_path), "tiny")
    assert (model.task, model.roles, model.prompt_set) == (EngineTask.EMBED, frozenset(), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (UPPER, "revision: Field required"),
        (UPPER + LOWER + "color: red\n", "color: unknown key"),
        (UPPER + LOWER.replace("model.safetensors", "../model.safetensors"), r"files\.0\.path"),
        (UPPER + LOWER.replace("model.safetensors", "/etc/passwd"), r"files\.0\.path"),
        (UPPER + LOWER.replace("a" * 64, "a" * 63), r"files\.0\.sha256"),
        (UPPER.replace("executor", "boss") + LOWER, r"roles\.0"),
        (UPPER.replace("math: 1.0", "math: 1.5") + LOWER, r"skills\.math"),
        (UPPER.replace("id: tiny", "id: other") + LOWER, "id: other is not the file's name"),
        (UPPER + LOWER + LOWER.splitlines()[-1] + "\n", "files: model.safetensors stands twice"),
        (UPPER.replace("roles: [executor]", "roles: []") + LOWER, "roles: at least one is needed"),
        (UPPER + LOWER + "task: embed\n", "roles: a model to embed has none"),
        (UPPER + LOWER + "task: sing\n", "task"),
        ("a: [", "not valid YAML"),
        ("", "valid dictionary"),
    ],
)
def test_errors_name_the_file_and_the_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(CatalogError, match=words) as caught:
        load_manifest(path)
    assert str(caught.value).startswith(str(path))


def test_an_empty_or_missing_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no manifest"):
        load_catalog(tmp_path)
    with pytest.raises(CatalogError, match="no such directory"):
        load_catalog(tmp_path / "none")


def test_an_unknown_model_is_told_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, UPPER + LOWER)
    with pytest.raises(CatalogError, match=r"nope is not in the catalog; .* one of: tiny"):
        find(load_catalog(tmp_path), "nope")


def test_the_shipped_manifests_load() -> None:
    catalog = load_catalog(ROOT / "models" / "catalog")
    starters = {name for name in catalog if name.startswith("starter-")}
    assert starters == {f"starter-{name}" for name in ("planner", "math", "text", "verifier", "generalist")}
    assert all(catalog[name].repository == "embedded" for name in starters)
    settings = yaml.safe_load((ROOT / "config/starter.yaml").read_text())
    assert {member["model"] for member in settings["pool"]} <= catalog.keys()
