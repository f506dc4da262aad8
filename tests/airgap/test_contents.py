"""What goes into a bundle, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from appliance.airgap.contents import Contents, Extras, gather
from appliance.airgap.hub import fetch
from appliance.airgap.pack import Heading, pack
from appliance.airgap.versions import VersionTree
from appliance.catalog.loader import load_catalog
from appliance.catalog.store import verify
from appliance.config import load
from appliance.domain.model import Model
from appliance.errors import ApplianceError, BundleError, ConfigError, ContentRefused
from tests.airgap.bundles import KEY, put
from tests.catalog.real_shape import PARAMETERS, write_model
from tests.cli.pool import MODELS, Pool, make_pool
from tests.fakes.fake_hub import fake_hub

REPOSITORY, REVISION = "someone/Small-LM", "a" * 40


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.chdir(tmp_path)
    return make_pool(tmp_path)


def nowhere(model: Model, directory: Path) -> None:
    raise AssertionError(f"{model.model_id} was fetched")


def gathered(pool: Pool, fetching: Callable[[Model, Path], None] = nowhere) -> Contents:
    return gather(load(pool.config), "0.1.0", Extras(), fetching)


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_everything_that_is_there_is_taken_and_the_rest_is_named(pool: Pool) -> None:
    written(pool.directory / "docs" / "deep" / "a.md", "words")
    written(pool.directory / "docs" / ".hidden", "not taken")
    written(pool.directory / "routers" / "head.json", "{}")
    written(pool.directory / "benchmarks" / "suites" / "s.jsonl", "{}")
    written(pool.directory / "requirements" / "engine-cpu.txt", f"torch==2.0 --hash=sha256:{'0' * 64}\n")
    written(pool.directory / "deploy" / "helm" / "appliance" / "Chart.yaml", "name: appliance\nversion: 1.2.3\n")
    contents = gathered(pool)
    paths = {source.path for source in contents.sources}
    assert {
        "docs/deep/a.md",
        "routers/head.json",
        "suites/s.jsonl",
        "locks/engine-cpu.txt",
        "chart/appliance-1.2.3.tgz",
        "config/appliance.yaml",
        "sbom/software.cdx.json",
        "sbom/models.cdx.json",
        *(f"catalog/{model}.yaml" for model in MODELS),
        *(f"models/{model}/model.safetensors" for model in MODELS),
    } <= paths
    assert not any(".hidden" in path for path in paths)
    assert contents.left_out == ("policies (config/policies)",)
    assert [model.id for model in contents.models] == list(MODELS)


def test_the_configuration_works_where_it_is_installed(pool: Pool, tmp_path: Path) -> None:
    contents = gathered(pool)
    pack(contents.sources, Heading("test", "0.1.0", contents.models), KEY, tmp_path / "b")
    tree = VersionTree(tmp_path / "root")
    put(tmp_path / "b", tree)
    settings = load(tree.root / "current" / "config" / "appliance.yaml")
    assert settings.pool == load(pool.config).pool
    for model in load_catalog(settings.models.catalog).values():
        verify(model, settings.models.store / model.model_id)


def test_policies_that_the_configuration_names_come_along(pool: Pool, tmp_path: Path) -> None:
    policy = "labels:\n  secret: {countries: [none]}\n"
    written(pool.directory / "elsewhere" / "secret.yaml", policy)
    written(pool.directory / "config" / "policies" / "other.yaml", policy)
    pool.settings["policy"] = {"files": ["elsewhere/secret.yaml"]}
    pool.write()
    contents = gathered(pool)
    pack(contents.sources, Heading("test", "0.1.0", contents.models), KEY, tmp_path / "b")
    tree = VersionTree(tmp_path / "root")
    put(tmp_path / "b", tree)
    there = load(tree.root / "current" / "config" / "appliance.yaml")
    assert there.policy.labels == load(pool.config).policy.labels
    assert (tree.root / "current" / "policies" / "other.yaml").is_file()
    written(pool.directory / "config" / "policies" / "secret.yaml", policy)
    with pytest.raises(ConfigError, match=r"another policy is named secret\.yaml"):
        gathered(pool)


def edit_manifest(pool: Pool, **changes: object) -> None:
    file = pool.directory / "catalog" / f"{MODELS[0]}.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))


def edit_weights(pool: Pool, name: str, content: str) -> None:
    (pool.directory / "store" / MODELS[0] / name).write_text(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pool: edit_manifest(pool, licence="LicenseRef-Secret"), "bundle.licences"),
        (lambda pool: edit_manifest(pool, revision="main"), "not pinned"),
        (lambda pool: edit_manifest(pool, derived=["revision"]), "not pinned"),
        (lambda pool: edit_manifest(pool, repository="embedded"), "not pinned"),
        (lambda pool: edit_weights(pool, "pytorch_model.bin", "x"), "can run code"),
        (lambda pool: edit_weights(pool, "modeling_x.py", "x"), "can run code"),
        (lambda pool: edit_weights(pool, "extra.json", "{}"), "not in the manifest"),
        (lambda pool: edit_weights(pool, "config.json", "{}"), "cut off or not the approved file"),
        (lambda pool: (pool.directory / "store" / MODELS[0] / "l.md").symlink_to("/etc/passwd"), "is a link out"),
    ],
)
def test_models_that_are_refused(pool: Pool, change: Callable[[Pool], None], words: str) -> None:
    change(pool)
    with pytest.raises(ContentRefused, match=words):
        gathered(pool)


def test_code_that_a_models_settings_name(pool: Pool) -> None:
    config = pool.directory / "store" / MODELS[0] / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoModel": "evil/repo--m.M"}}))
    edit_manifest(pool, files=[])
    with pytest.raises(ContentRefused, match="auto_map"):
        gathered(pool)


def test_same_size_other_content_is_found_while_packing(pool: Pool, tmp_path: Path) -> None:
    weights = pool.directory / "store" / MODELS[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    contents = gathered(pool)
    with pytest.raises(ContentRefused, match="not the approved file"):
        pack(contents.sources, Heading("test", "0.1.0", contents.models), KEY, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def remote(pool: Pool, tmp_path: Path) -> dict[str, bytes]:
    """The first model is on the hub alone, and its manifest lists no files."""
    write_model(tmp_path / "hub")
    for file in (pool.directory / "store" / MODELS[0]).iterdir():
        file.unlink()
    edit_manifest(pool, repository=REPOSITORY, revision=REVISION, files=[], parameters=PARAMETERS)
    return files_of(tmp_path / "hub")


def test_weights_from_a_hub_are_approved_by_their_digests(pool: Pool, remote: dict[str, bytes], tmp_path: Path) -> None:
    with fake_hub(REPOSITORY, REVISION, {**remote, "picture.png": b"x", ".gitattributes": b"x"}) as hub:
        contents = gathered(pool, fetching=partial(fetch, endpoint=hub.url))
        assert "picture.png" not in hub.fetched
        count = len(hub.fetched)
        gathered(pool, fetching=partial(fetch, endpoint=hub.url))
        assert len(hub.fetched) == count, "what is there is not fetched again"
    pack(contents.sources, Heading("test", "0.1.0", contents.models), KEY, tmp_path / "b")
    tree = VersionTree(tmp_path / "root")
    put(tmp_path / "b", tree)
    model = load_catalog(tree.root / "current" / "catalog")[MODELS[0]]
    assert {file.path for file in model.files} == set(remote) - {"README.md"}
    verify(model, tree.root / "current" / "models" / MODELS[0])
    assert (tree.root / "current" / "models" / MODELS[0] / "README.md").is_file()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_small.py", "original/consolidated.00.pth"])
def test_repositories_with_code_are_refused_before_anything_is_fetched(
    pool: Pool, remote: dict[str, bytes], name: str
) -> None:
    with (
        fake_hub(REPOSITORY, REVISION, {**remote, name: b"x"}) as hub,
        pytest.raises(ContentRefused, match="can run code"),
    ):
        gathered(pool, fetching=partial(fetch, endpoint=hub.url))
    assert hub.fetched == []


def test_a_hub_that_gives_another_revision(pool: Pool, remote: dict[str, bytes]) -> None:
    with fake_hub(REPOSITORY, "b" * 40, remote) as hub, pytest.raises(ContentRefused, match="instead of"):
        gathered(pool, fetching=partial(fetch, endpoint=hub.url))


@pytest.mark.usefixtures("remote")
def test_a_hub_that_does_not_have_it_or_is_not_there(pool: Pool) -> None:
    with fake_hub("other/repository", REVISION, {}) as hub, pytest.raises(BundleError, match="can't be fetched"):
        gathered(pool, fetching=partial(fetch, endpoint=hub.url))
    with pytest.raises(ApplianceError, match="can't be fetched"):
        gathered(pool, fetching=partial(fetch, endpoint="http://127.0.0.1:9"))
