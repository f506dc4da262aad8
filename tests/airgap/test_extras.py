"""Images, wheels and the chart: of the right form, or refused with what is missing."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import helm_python
import pytest

from appliance.airgap.chart import packaged
from appliance.airgap.images import load_commands, read_image, shell_line
from appliance.airgap.loading import load_images
from appliance.airgap.lock_file import Pin
from appliance.airgap.wheels import download, package_of, wheel_sources
from appliance.catalog.files import sha256
from appliance.errors import BundleError, ConfigError, ContentRefused

OCI = {
    "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    "index.json": json.dumps(
        {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": "team/gateway:1.0"}}]}
    ).encode(),
    "blobs/sha256/0": b"x",
}
DOCKER = {
    "manifest.json": json.dumps(
        [{"Config": "c.json", "RepoTags": ["docker.io/team/engine:1", "local:2"], "Layers": ["l/layer.tar"]}]
    ).encode(),
    "c.json": b"{}",
    "l/layer.tar": b"x",
}


def archive(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload] # the mode is a parameter
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_oci_archive(tmp_path: Path) -> None:
    image, sources = read_image(archive(tmp_path / "gateway.tar", OCI))
    assert (image.form, image.references) == ("oci-archive", ("team/gateway:1.0",))
    assert [source.path for source in sources] == ["images/gateway.tar"]
    (command,) = load_commands([image], Path("/root/current"), "registry.local:5000/mirror")
    assert shell_line(command) == (
        "skopeo copy --all oci-archive:/root/current/images/gateway.tar docker://registry.local:5000/mirror/team/gateway:1.0"
    )


def test_a_docker_archive_with_two_names(tmp_path: Path) -> None:
    image, _ = read_image(archive(tmp_path / "engine.tar", DOCKER))
    assert image.form == "docker-archive"
    commands = [shell_line(command) for command in load_commands([image], Path("/r"), "reg.local")]
    assert commands == [
        "skopeo copy --all docker-archive:/r/images/engine.tar:docker.io/team/engine:1 docker://reg.local/team/engine:1",
        "skopeo copy --all docker-archive:/r/images/engine.tar:local:2 docker://reg.local/local:2",
    ]


def test_an_oci_directory(tmp_path: Path) -> None:
    for name, content in OCI.items():
        (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "layout" / name).write_bytes(content)
    image, sources = read_image(tmp_path / "layout")
    assert image.form == "oci"
    assert {source.path for source in sources} == {f"images/layout/{name}" for name in OCI}


@pytest.mark.parametrize(
    ("files", "mode", "words"),
    [
        ({"readme": b"x"}, "w", "neither oci-layout and index.json nor manifest.json"),
        (OCI, "w:gz", "without compression"),
        ({**OCI, "index.json": b"{"}, "w", "no image archive"),
        ({**OCI, "index.json": b'{"manifests": []}'}, "w", "names no image"),
        ({**OCI, "index.json": b"{}"}, "w", "'manifests' is missing"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]'}, "w", "c is missing"),
        ({"manifest.json": b"{}"}, "w", ""),
        (
            {**DOCKER, "manifest.json": b'[{"Config":"c.json","RepoTags":["$(x)"],"Layers":[]}]'},
            "w",
            "no image archive",
        ),
    ],
)
def test_archives_of_another_form(tmp_path: Path, files: Mapping[str, bytes], mode: str, words: str) -> None:
    path = archive(tmp_path / "image.tar", files, mode)
    if files == {"manifest.json": b"{}"}:
        assert read_image(path)[0].references == ()
        return
    with pytest.raises(ContentRefused, match="no image archive") as refused:
        read_image(path)
    assert words in str(refused.value)


def test_an_image_that_is_not_there_and_an_impossible_registry(tmp_path: Path) -> None:
    with pytest.raises(ContentRefused, match="No such file"):
        read_image(tmp_path / "missing.tar")
    with pytest.raises(ContentRefused, match="is no registry"):
        list(load_commands([], Path("/r"), "reg; rm -rf /"))


def test_images_are_loaded_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    commands = [("skopeo", "copy", "a", "b"), ("skopeo", "copy", "broken", "c"), ("skopeo", "copy", "d", "e")]
    load_images(commands, run=False, say=said.append)
    assert said == ["skopeo copy a b", "skopeo copy broken c", "skopeo copy d e"]
    with pytest.raises(BundleError, match="skopeo is not installed"):
        load_images(commands, run=True, say=said.append)
    (tmp_path / "skopeo").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ran\ntest "$2" != broken\n')
    (tmp_path / "skopeo").chmod(0o755)
    with pytest.raises(BundleError, match="`skopeo copy broken c` ended with 1"):
        load_images(commands, run=True, say=said.append)
    assert (tmp_path / "ran").read_text().splitlines() == ["copy a b", "copy broken c"]


def wheel(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo("thing/__init__.py"), content)
    return path


def test_wheels_that_the_locks_approve(tmp_path: Path) -> None:
    good = wheel(tmp_path / "w" / "engine" / "thing-1.0-py3-none-any.whl")
    wheel(tmp_path / "w" / "appliance-runtime" / "appliance-0.1.0-py3-none-any.whl")
    pins = [Pin("thing", "1.0", frozenset({sha256(good)}))]
    assert [source.path for source in wheel_sources(tmp_path / "w", pins)] == [
        "wheels/appliance-runtime/appliance-0.1.0-py3-none-any.whl",
        "wheels/engine/thing-1.0-py3-none-any.whl",
    ]
    wheel(good, "changed")
    with pytest.raises(ContentRefused, match="is in no lock file"):
        wheel_sources(tmp_path / "w", pins)
    with pytest.raises(ConfigError, match="no wheel"):
        wheel_sources(tmp_path / "empty", pins)
    assert package_of("Typing_Extensions-4.0-py3-none-any.whl") == "typing-extensions"


def test_pip_says_what_can_not_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    lock = tmp_path / "engine.txt"
    lock.write_text(f"no-such-package-anywhere==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BundleError, match="could not be downloaded"):
        download({"engine": lock}, tmp_path / "w")


def chart(directory: Path) -> Path:
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: appliance\nversion: 0.1.0\n")
    (directory / "values.yaml").write_text("a: 1\n")
    (directory / "templates" / "map.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: {{ .Values.a | quote }}\n"
    )
    return directory


def test_helm_reads_the_packaged_chart(tmp_path: Path) -> None:
    source = packaged(chart(tmp_path / "chart"))
    assert source.path == "chart/appliance-0.1.0.tgz"
    assert isinstance(source.origin, bytes)
    assert packaged(tmp_path / "chart").origin == source.origin
    with tarfile.open(fileobj=io.BytesIO(source.origin)) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    loaded = helm_python.Chart.load(str(tmp_path / "out" / "appliance"))
    assert "ConfigMap" in str(loaded.render({}))


@pytest.mark.parametrize("text", ["", "name: x", "name: ../x\nversion: 1.0.0", "name: x\nversion: latest", "a: ["])
def test_a_directory_that_is_no_chart(tmp_path: Path, text: str) -> None:
    (tmp_path / "Chart.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"Chart\.yaml"):
        packaged(tmp_path)
