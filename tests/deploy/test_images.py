"""Images: what they are built from and how, read from the Dockerfiles and the script, without a builder."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.deploy.chart import CHART, ROOT

IMAGES = ROOT / "deploy" / "images"
NAMES = ("gateway", "engines", "engines-cpu")


def parsed(name: str) -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO((IMAGES / f"{name}.Dockerfile").read_bytes()), env_replace=False)


def instructions(name: str, stage: int) -> list[tuple[str, str]]:
    """Of one stage, −1 for the last: what becomes the image."""
    stages: list[list[tuple[str, str]]] = []
    for step in parsed(name).structure:
        if step["instruction"] == "FROM":
            stages.append([])
        if stages and step["instruction"] != "COMMENT":
            stages[-1].append((step["instruction"], step["value"]))
    return stages[stage]


def values(name: str, instruction: str, stage: int = -1) -> list[str]:
    return [value for kind, value in instructions(name, stage) if kind == instruction]


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_finds_nothing(name: str) -> None:
    found = subprocess.run(
        [ROOT / ".venv/bin/hadolint", "--no-color", IMAGES / f"{name}.Dockerfile"], capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_images_run_as_a_number_and_hold_no_tools_for_building(name: str) -> None:
    assert values(name, "USER") == ["10001:10001"]
    assert values(name, "ENTRYPOINT") == ['["appliance"]']
    assert values(name, "STOPSIGNAL") == ["SIGTERM"]
    final = " ".join(value for _, value in instructions(name, -1))
    assert not re.search(r"\b(gcc|g\+\+|build-essential|cmake|curl|wget|pip install)\b", final)
    assert not values(name, "ADD")


@pytest.mark.parametrize("name", NAMES)
def test_python_packages_come_by_their_hashes(name: str) -> None:
    """Everything that is fetched; what is installed from a file was built a line before."""
    (*_, run) = [" ".join(values(name, "RUN", stage=0))]
    for command in re.findall(r"pip (?:install|wheel)[^&]*", run):
        assert "--require-hashes" in command or "--no-index" in command or "--no-deps --no-build-isolation" in command
    assert "pip uninstall --yes pip" in run
    assert "compileall" in run


@pytest.mark.parametrize("name", NAMES)
def test_bases_are_given_from_outside_and_only_there(name: str) -> None:
    assert [step["value"] for step in parsed(name).structure if step["instruction"] == "FROM"] == [
        "${BASE} AS builder",
        "${BASE}",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_copied_is_there_and_passes_the_ignore_file(name: str) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for stage in (0, -1):
        for value in values(name, "COPY", stage):
            *sources, _ = value.removeprefix("--from=builder ").split()
            if value.startswith("--from"):
                continue
            for source in sources:
                assert (ROOT / source).exists()
                assert any(Path(source).match(pattern) or source.startswith(f"{pattern}/") for pattern in allowed)


def test_the_ignore_file_lets_nothing_in_that_it_does_not_name() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert not any(name in line for line in lines for name in ("var", ".venv", ".git", "shared"))


def test_lock_files_of_images_hold_hashes_for_every_package() -> None:
    for name in ("appliance-runtime", "build", "engine-cpu"):
        blocks = re.split(r"(?m)^(?=\S)", (ROOT / f"requirements/{name}.txt").read_text())
        packages = [block for block in blocks if re.match(r"[A-Za-z0-9]", block)]
        assert len(packages) > 4
        assert all("--hash=sha256:" in block for block in packages)
    runtime = (ROOT / "requirements/appliance-runtime.txt").read_text()
    assert not re.search(r"(?m)^(torch|vllm|transformers|pytest|helm-python-sdk)==", runtime)


def test_tools_for_building_are_those_of_the_development_lock() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / f"requirements/{name}.txt").read_text()
        return dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;]+)", text))

    assert pins("build").items() <= pins("appliance").items()
    assert "hatchling" in pins("build")


def bases() -> dict[str, str]:
    return dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", (IMAGES / "bases.env").read_text()))


def test_bases_are_pinned_to_versions_and_digests_are_digests_or_empty() -> None:
    found = bases()
    vllm = re.search(r"(?m)^vllm==(\S+)", (ROOT / "requirements/engine-cuda.in").read_text())
    assert vllm is not None
    assert found["VLLM_IMAGE"].endswith(f":v{vllm[1]}")
    assert not any(
        value.endswith(":latest") or ":" not in value for key, value in found.items() if key.endswith("IMAGE")
    )
    assert all(re.fullmatch(r"(sha256:[0-9a-f]{64})?", value) for key, value in found.items() if key.endswith("DIGEST"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script reads, with a builder that writes down how it is called."""
    (tmp_path / "deploy").mkdir()
    shutil.copytree(IMAGES, tmp_path / "deploy/images")
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/engine-cuda.in", tmp_path / "requirements")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    builder = tmp_path / "bin/podman"
    builder.parent.mkdir()
    builder.write_text(
        '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >>"$CALLS"\n'
        'while [[ $# -gt 0 ]]; do [[ $1 != --output ]] || touch "$2"; shift; done\n'
    )
    builder.chmod(0o755)
    return tmp_path


def build(checkout: Path, *images: str, **variables: str) -> tuple[int, str, list[str]]:
    """Exit code, what was said, and how the builder was called."""
    calls = checkout / "calls"
    path = f"{checkout / 'bin'}:/usr/bin:/bin"
    environment = {"PATH": path, "CALLS": str(calls), "HOME": str(checkout), "BUILDER": "podman", **variables}
    script = [str(checkout / "deploy/images/build.sh"), *images]
    result = subprocess.run(script, env=environment, capture_output=True, text=True, cwd="/")
    made = calls.read_text().splitlines() if calls.exists() else []
    return result.returncode, result.stdout + result.stderr, [call for call in made if call != "info"]


def test_without_digests_the_build_refuses_and_says_how(checkout: Path) -> None:
    code, said, calls = build(checkout, "gateway")
    assert (code, calls) == (2, [])
    assert "PYTHON_DIGEST is empty" in said
    assert "UNPINNED=1" in said


def test_a_build_names_base_version_and_archive(checkout: Path) -> None:
    digest = "sha256:" + "a" * 64
    environment = checkout / "deploy/images/bases.env"
    environment.write_text(environment.read_text().replace("_DIGEST=", f"_DIGEST={digest}"))
    code, said, calls = build(
        checkout, "engines", REGISTRY="registry.internal/appliance", PIP_INDEX_URL="https://mirror"
    )
    assert code == 0, said
    made, saved = calls
    assert f"BASE={bases()['VLLM_IMAGE']}@{digest}" in made
    assert "--tag registry.internal/appliance/engines:0.1.0" in made
    assert "--build-arg PIP_INDEX_URL" in made
    assert "VLLM_VERSION=0.32.0" in made
    assert "--format oci-archive" in saved
    assert (checkout / "dist/images/engines-0.1.0.tar").exists()
    assert not list(checkout.glob("dist/images/*.part"))


@pytest.mark.parametrize(
    ("images", "variables", "words"),
    [
        (("gatway",), {"UNPINNED": "1"}, "gatway: no such image"),
        ((), {"BUILDER": "kaniko"}, "one of docker, podman and buildah is wanted"),
        ((), {"BUILDER": "buildah"}, "no builder works here (tried buildah)"),
    ],
)
def test_what_can_not_be_built_is_refused(
    checkout: Path, images: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    hidden = {} if "BUILDER" not in variables else {"PATH": f"{only_coreutils(checkout)}"}
    code, said, calls = build(checkout, *images, **{**variables, **hidden})
    assert (code, calls) == (2, [])
    assert words in said


def only_coreutils(checkout: Path) -> Path:
    """A path on which there is no builder."""
    tools = checkout / "tools"
    tools.mkdir()
    for name in ("bash", "env", "dirname", "sed", "head", "git"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    return tools


def test_all_three_are_built_by_default(checkout: Path) -> None:
    code, said, calls = build(checkout, UNPINNED="1", SAVE="")
    assert code == 0, said
    assert [re.search(r"--file deploy/images/(\S+)\.Dockerfile", call)[1] for call in calls] == list(NAMES)  # type: ignore[index]  # no match fails here as well
    assert not (checkout / "dist").exists()


def test_images_of_the_chart_are_those_that_are_built() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = schema["properties"]["images"]["default"]
    assert {given[key]["repository"] for key in ("gateway", "engines", "enginesCpu")} == {
        f"appliance/{n}" for n in NAMES
    }
    assert os.access(IMAGES / "build.sh", os.X_OK)
