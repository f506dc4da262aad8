"""A manifest from a local directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from appliance.catalog.draft import draft, id_of, publish
from appliance.catalog.loader import load_manifest
from appliance.catalog.store import problems
from appliance.errors import CatalogError
from tests.catalog.real_shape import CONFIG, PARAMETERS, write_model

SAID = {"id": "small", "publisher": "Someone", "country": "", "roles": []}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_model(tmp_path / "small")
    return tmp_path / "small"


def test_a_draft_holds_what_the_files_say(home: Path) -> None:
    read: list[int] = []
    model = draft(home, SAID, read.append).model
    assert (model.model_id, model.parameters, model.dtype, model.context_tokens) == (
        "small",
        PARAMETERS,
        "bfloat16",
        128,
    )
    assert (model.licence, model.publisher, model.repository) == ("Apache-2.0", "Someone", "someone/Small-LM")
    assert model.geometry is not None
    assert model.geometry.shape_parameters == PARAMETERS
    assert [file.path for file in model.files] == [
        "config.json",
        "model.safetensors.index.json",
        "one.safetensors",
        "tokenizer.json",
        "two.safetensors",
    ]
    assert sum(read) == sum(file.size_bytes for file in model.files)
    assert model.derived == ("country", "family", "prompt_set", "repository", "roles", "skills")


def test_it_loads_and_its_files_pass(home: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    written = draft(home, SAID)
    path = publish(written.text, catalog, "small")
    assert [file.name for file in catalog.iterdir()] == ["small.yaml"]
    model = load_manifest(path)
    assert model == written.model
    assert problems(model, home) == ()
    config = yaml.safe_load(path.read_text())["config"]
    assert config.keys() == CONFIG.keys() - {
        "_name_or_path",
        "architectures",
        "model_type",
        "torch_dtype",
        "rope_theta",
    }


def test_another_manifest_is_never_overwritten(home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("mine")
    with pytest.raises(
        CatalogError, match=r"small\.yaml: id: small is in the catalog already; choose another with --id"
    ):
        publish(draft(home, SAID).text, tmp_path, "small")
    assert (tmp_path / "small.yaml").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"small", "small.yaml"}


def test_a_catalog_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none/small\.yaml: can't be written: .*models\.catalog"):
        publish("", tmp_path / "none", "small")


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.pth", "a.pkl", "a.ckpt", "sub/modeling.py"])
def test_files_that_can_run_code_are_refused(home: Path, name: str) -> None:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(CatalogError, match=rf"{path}: {path.suffix} files can run code and are refused"):
        draft(home, SAID)


def test_all_refused_files_are_named(home: Path) -> None:
    for name in ("pytorch_model.bin", "modeling.py"):
        (home / name).write_bytes(b"")
    with pytest.raises(CatalogError, match=r"modeling\.py: .*; .*pytorch_model\.bin: "):
        draft(home, SAID)


def test_links_out_of_the_directory_are_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("{}")
    (home / "tokenizer_config.json").symlink_to(tmp_path / "blob")
    with pytest.raises(CatalogError, match=r"tokenizer_config\.json: is a link out of the model's directory"):
        draft(home, SAID)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["NewForCausalLM"], "num_key_value_heads": None}, "lacks num_key_value_heads"),
        ({"architectures": ["NewForCausalLM"]}, "does not know the architecture NewForCausalLM"),
        ({"intermediate_size": None}, "lacks intermediate_size"),
        ({"max_position_embeddings": None}, "max_position_embeddings"),
        ({"quantization_config": {"quant_method": "aqlm"}}, "quantization_config"),
        ({"num_hidden_layers": 4}, "files are missing or of another model"),
        ({"vocab_size": 2, "intermediate_size": 2}, "files are missing or of another model"),
    ],
)
def test_what_makes_no_shape_is_refused_by_name(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    write_model(tmp_path / "small", **changes)
    with pytest.raises(CatalogError, match=words) as error:
        draft(tmp_path / "small", SAID)
    assert str(tmp_path / "small") in str(error.value)


def test_a_missing_shard_is_named(home: Path) -> None:
    (home / "two.safetensors").unlink()
    with pytest.raises(CatalogError, match=r"weight_map: two\.safetensors are not there"):
        draft(home, SAID)


def test_no_weights_no_directory_no_config(home: Path) -> None:
    with pytest.raises(CatalogError, match="no such directory"):
        draft(home / "none", SAID)
    for name in ("one", "two"):
        (home / f"{name}.safetensors").unlink()
    (home / "model.safetensors.index.json").unlink()
    with pytest.raises(CatalogError, match="there is no safetensors file in it"):
        draft(home, SAID)
    (home / "config.json").unlink()
    with pytest.raises(CatalogError, match=r"config\.json: can't be read"):
        draft(home, SAID)


def test_parameters_of_quantised_weights_follow_from_the_shape(tmp_path: Path) -> None:
    write_model(tmp_path / "small", quantization_config={"quant_method": "awq", "bits": 4}, num_hidden_layers=3)
    model = draft(tmp_path / "small", SAID).model
    assert model.geometry is not None
    assert (model.quantization, model.parameters) == ("awq", model.geometry.shape_parameters)
    assert "parameters" in model.derived


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "MIT"),
        ("---\nlicense: other\nlicense_name: qwen\n---\n", "LicenseRef-qwen"),
        ("---\nlicense: [broken\n---\n", "LicenseRef-unknown"),
        ("no head", "LicenseRef-unknown"),
    ],
)
def test_the_licence_stands_in_the_card(home: Path, card: str, licence: str) -> None:
    (home / "README.md").write_text(card)
    model = draft(home, SAID).model
    assert model.licence == licence
    assert ("licence" in model.derived) == (licence == "LicenseRef-unknown")


def test_a_path_is_no_repository(tmp_path: Path) -> None:
    write_model(tmp_path / "small", _name_or_path="/home/me/checkpoint")
    assert draft(tmp_path / "small", SAID).model.repository == "unknown"


def test_ids_follow_from_the_directory(tmp_path: Path) -> None:
    assert id_of(tmp_path / "Qwen2.5-7B Instruct (new)") == "qwen2.5-7b-instruct-new"


def test_a_wrong_id_is_found_before_the_files_are_read(home: Path) -> None:
    read: list[int] = []
    with pytest.raises(CatalogError, match="the manifest can't be written: id: "):
        draft(home, {**SAID, "id": "No Good"}, read.append)
    assert read == []


def test_the_text_is_the_document(home: Path) -> None:
    text = draft(home, SAID).text
    assert text.startswith("# Written by `appliance models add`")
    assert json.loads(json.dumps(yaml.safe_load(text)))["id"] == "small"
