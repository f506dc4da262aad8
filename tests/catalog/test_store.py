"""Verification of model directories, and manifests written from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.catalog import manifest
from appliance.catalog.loader import load_catalog
from appliance.catalog.manifest import refresh
from appliance.catalog.store import problems, verify
from appliance.domain.model import Model
from appliance.errors import CatalogError
from tests.catalog.tiny_model import UPPER, safetensors, write_tiny
from tests.fakes.engine_commands import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def model(home: Path) -> Model:
    path = home.parent / "tiny.yaml"
    path.write_text(UPPER)
    return refresh(path, home)


def test_a_manifest_is_written_from_the_directory(model: Model, home: Path) -> None:
    assert (model.parameters, model.context_tokens, model.dtype) == (20, 1024, "bfloat16")
    assert [f.path for f in model.files] == ["config.json", "model.safetensors", "tokenizer.json"]
    assert model.revision.startswith("sha256:")
    path = home.parent / "tiny.yaml"
    assert path.read_text().startswith(UPPER)
    before = path.read_text()
    assert refresh(path, home) == model
    assert path.read_text() == before


def test_a_sound_directory_passes(model: Model, home: Path) -> None:
    (home / "README.md").write_text("another card")
    (home / ".git").mkdir()
    (home / ".git" / "x.py").write_text("")
    verify(model, home)


def test_what_people_say_themselves_is_kept(home: Path) -> None:
    path = home.parent / "tiny.yaml"
    path.write_text(UPPER + "revision: r1\nparameters: 21\n")
    model = refresh(path, home)
    assert (model.revision, model.parameters, len(model.files)) == ("r1", 21, 3)


def test_a_manifest_that_says_everything_itself_stays_as_it_is(model: Model, home: Path) -> None:
    path = home.parent / "tiny.yaml"
    path.write_text(path.read_text().replace(manifest.MARKER, ""))
    said = path.read_text()
    assert refresh(path, home) == model
    assert path.read_text() == said + manifest.MARKER


def test_a_manifest_without_files(model: Model, home: Path) -> None:
    bare = replace(model, files=())
    with pytest.raises(CatalogError, match=r"lists no files; .*models\.verify_digests: false"):
        verify(bare, home)
    verify(bare, home, digests=False)
    (home / "model.safetensors").unlink()
    with pytest.raises(CatalogError, match="holds no safetensors file"):
        verify(bare, home, digests=False)


def change(home: Path, name: str, old: bytes, new: bytes) -> None:
    path = home / name
    path.write_bytes(path.read_bytes().replace(old, new))


def test_missing_weights_say_how_to_get_them(model: Model, home: Path) -> None:
    (home / "model.safetensors").unlink()
    with pytest.raises(CatalogError, match=r"tiny: .*model\.safetensors is missing; .*make starter-models"):
        verify(model, home)
    with pytest.raises(CatalogError, match=r"none is missing; put revision r1 of org/it there"):
        verify(replace(model, repository="org/it", revision="r1"), home / "none")


def test_a_truncated_file(model: Model, home: Path) -> None:
    path = home / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CatalogError, match=r"the manifest says .*: it is cut off"):
        verify(model, home)


def test_a_garbled_header(model: Model, home: Path) -> None:
    change(home, "model.safetensors", b"BF16", b"XX16")
    with pytest.raises(CatalogError, match=r"model\.safetensors: the header's entry of tensor a makes no sense"):
        verify(model, home, digests=False)


def test_a_wrong_digest(model: Model, home: Path) -> None:
    path = home / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    verify(model, home, digests=False)
    with pytest.raises(CatalogError, match="is not the approved file: its sha256 is"):
        verify(model, home)


def test_another_architecture(model: Model, home: Path) -> None:
    change(home, "config.json", b"LlamaForCausalLM", b"GemmaForCausalLM")
    with pytest.raises(CatalogError, match="architecture GemmaForCausalLM"):
        verify(model, home, digests=False)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_tiny.py", "x.pt", "deep/er/x.PKL"])
def test_files_that_can_run_code_are_refused(model: Model, home: Path, name: str) -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(b"")
    with pytest.raises(CatalogError, match="can run code and are refused"):
        verify(model, home)


@pytest.mark.parametrize("name", ["more.safetensors", "chat_template.jinja", "generation_config.json"])
def test_files_that_vllm_reads_must_be_listed(model: Model, home: Path, name: str) -> None:
    (home / name).write_bytes(safetensors())
    with pytest.raises(CatalogError, match="is not in the manifest of tiny"):
        verify(model, home)


@pytest.mark.parametrize("name", ["tokenizer.json", "elsewhere"])
def test_links_out_of_the_directory_are_refused(model: Model, home: Path, name: str) -> None:
    (home / name).unlink(missing_ok=True)
    (home / name).symlink_to(home.parent if name == "elsewhere" else home.parent / "tiny.yaml")
    with pytest.raises(CatalogError, match="link out of the model's directory"):
        verify(model, home)


def test_links_inside_it_are_fine(model: Model, home: Path) -> None:
    (home / "tokenizer.json").rename(home / "blob")
    (home / "tokenizer.json").symlink_to("blob")
    verify(model, home)


def test_the_command_says_what_is_wrong(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home.parent / "tiny.yaml"
    path.write_text(UPPER)
    assert manifest.main([str(home.parent), str(path)]) == 0
    assert "20 parameters, 3 files" in capsys.readouterr().out
    (home / "model.safetensors").unlink()
    assert manifest.main([str(home.parent), str(path)]) == 2
    assert "no safetensors file" in capsys.readouterr().err
    assert manifest.main([]) == 2


def test_the_shipped_weights_are_the_approved_ones() -> None:
    store = ROOT / "models/starter/weights"
    for name, model in load_catalog(ROOT / "models/catalog").items():
        if model.repository == "embedded" and (store / name).exists():
            verify(model, store / name)


def test_every_problem_is_named_once_and_progress_tells_all_bytes(model: Model, home: Path) -> None:
    read: list[int] = []
    assert problems(model, home, progress=read.append) == ()
    assert sum(read) == sum(file.size_bytes for file in model.files)
    change(home, "tokenizer.json", b"{}", b"[]")
    (home / "model.safetensors").unlink()
    (home / "pickle.pkl").write_bytes(b"")
    found = problems(model, home)
    for name in ("tokenizer.json is not the approved file", "model.safetensors is missing", "pickle.pkl: .pkl files"):
        assert sum(name in problem for problem in found) == 1
    assert len(found) == 3
    with pytest.raises(CatalogError, match=r"pickle\.pkl.* \(and 2 more; `appliance models verify` names all\)"):
        verify(model, home)


def test_code_of_another_repository_is_refused(model: Model, home: Path) -> None:
    config = json.loads((home / "config.json").read_text())
    (home / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil/repo--model.Evil"}}))
    with pytest.raises(CatalogError, match=r"auto_map\.AutoModel names the code of another repository"):
        verify(replace(model, files=()), home, digests=False)
    (home / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling.Model"}}))
    verify(replace(model, files=()), home, digests=False)
