"""Installing: atomic, reversible, and the last version is kept."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.airgap.versions import VersionTree
from appliance.errors import AlreadyRunning, ApplianceError, BaseMissing, BundleDamaged, BundleError
from tests.airgap.bundles import FILES, make, put, snapshot

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> VersionTree:
    return VersionTree(tmp_path / "root")


@pytest.fixture
def used(tmp_path: Path, tree: VersionTree) -> VersionTree:
    """A tree with a version in use."""
    make(tmp_path / "first", {"docs/a.md": b"first"})
    put(tmp_path / "first", tree)
    return tree


def text(tree: VersionTree) -> str:
    return (tree.root / "current" / "docs" / "a.md").read_text()


def test_the_last_version_is_kept_and_older_ones_go(tmp_path: Path, tree: VersionTree) -> None:
    names = []
    for number, word in enumerate(("one", "two", "three")):
        make(tmp_path / word, {"docs/a.md": word.encode()})
        done = put(tmp_path / word, tree, float(number))
        names.append(done.path.name)
        assert text(tree) == word
    assert done.previous == names[1]
    assert done.removed == (names[0],)
    assert [(one.name, one.in_use) for one in tree.installed()] == [(names[2], True), (names[1], False)]


def test_rollback_and_forward(tmp_path: Path, used: VersionTree) -> None:
    first = used.current
    make(tmp_path / "second", {"docs/a.md": b"second"})
    second = put(tmp_path / "second", used).path.name
    assert used.rollback(None) == first
    assert text(used) == "first"
    with pytest.raises(BundleError, match=second):
        used.rollback(None)
    assert used.rollback(second) == second
    assert text(used) == "second"
    with pytest.raises(BundleError, match="is not installed"):
        used.rollback("../../elsewhere")
    assert text(used) == "second"


def test_rollback_with_nothing_before(tree: VersionTree, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="install a bundle first"):
        tree.rollback(None)
    make(tmp_path / "b")
    put(tmp_path / "b", tree)
    with pytest.raises(BundleError, match="nothing was installed"):
        tree.rollback(None)


def test_the_same_bundle_again_mends_a_version(tmp_path: Path, used: VersionTree) -> None:
    make(tmp_path / "second", {"docs/a.md": b"second"})
    put(tmp_path / "second", used)
    before = used.installed()[1].name
    (used.root / "current" / "docs" / "a.md").write_text("tampered")
    done = put(tmp_path / "second", used)
    assert text(used) == "second"
    assert done.previous == before
    assert used.rollback(None) == before
    assert text(used) == "first"


def test_a_differential_bundle_builds_on_its_base(tmp_path: Path, tree: VersionTree) -> None:
    base = make(tmp_path / "base")
    changed = {**FILES, "docs/short.md": b"y", "docs/copy.md": FILES["docs/long.md"]}
    make(tmp_path / "delta", changed, base=base)
    with pytest.raises(BaseMissing, match=base.bundle_id):
        put(tmp_path / "delta", tree)
    put(tmp_path / "base", tree)
    put(tmp_path / "delta", tree)
    for path, content in changed.items():
        assert (tree.root / "current" / path).read_bytes() == content
    tree.rollback(None)
    for path, content in FILES.items():
        assert (tree.root / "current" / path).read_bytes() == content


@pytest.mark.parametrize("size", [4199, 4200, 4201])
def test_a_base_that_was_changed_since_is_not_built_on(tmp_path: Path, tree: VersionTree, size: int) -> None:
    base = make(tmp_path / "base")
    make(tmp_path / "delta", {**FILES, "docs/short.md": b"y"}, base=base)
    put(tmp_path / "base", tree)
    (tree.root / "current" / "docs" / "long.md").write_bytes(b"w" * size)
    before = snapshot(tree.root)
    with pytest.raises(BundleDamaged, match=r"docs/long\.md"):
        put(tmp_path / "delta", tree)
    assert snapshot(tree.root) == before


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """As a full disk: what is written beyond is refused. The signal would end the process; Python ignores it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)


def test_a_full_disk_changes_nothing(tmp_path: Path, used: VersionTree) -> None:
    make(tmp_path / "large", {"docs/a.md": bytes(300_000), "docs/b.md": b"b"})
    before = snapshot(used.root)
    with largest_file(100_000), pytest.raises(BundleError, match="disk is full; nothing was changed"):
        put(tmp_path / "large", used)
    assert snapshot(used.root) == before


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, used: VersionTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "b")
    before = snapshot(used.root)
    monkeypatch.setattr("appliance.airgap.install.SPARE_BYTES", 1 << 60)
    with pytest.raises(BundleError, match="bytes more are needed"):
        put(tmp_path / "b", used)
    assert snapshot(used.root) == before


STEPS = ("mkdir", "symlink_to", "rename", "replace", "write_bytes", "write_text")


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_leaves_a_whole_version_in_use(
    tmp_path: Path, used: VersionTree, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Every call that changes a directory fails once, the first, the second, … until one run has none left to fail."""
    make(tmp_path / "second", {"docs/a.md": b"second", "suites/b": b"b"})
    real: Callable[..., object] = getattr(Path, step)
    for failing in range(100):
        calls = 0

        def once(path: Path, *arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == failing + 1:  # noqa: B023 (used within this turn alone)
                raise OSError(5, "Input/output error", str(path))
            return real(path, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, step, once)
            try:
                put(tmp_path / "second", used)
            except ApplianceError:
                assert text(used) in {"first", "second"}
            else:
                assert text(used) == "second"
                break
    assert failing > 0
    assert not used.staging.exists()
    put(tmp_path / "second", used)
    assert text(used) == "second"


KILLED = """
import os, sys, threading, time
from pathlib import Path
from appliance.airgap.versions import VersionTree
from tests.airgap.bundles import put
threading.Thread(target=lambda: (time.sleep(float(sys.argv[3])), os.kill(os.getpid(), 9)), daemon=True).start()
put(Path(sys.argv[1]), VersionTree(Path(sys.argv[2])), 2.0)
"""


def test_killed_at_any_moment_a_whole_version_is_in_use(tmp_path: Path, used: VersionTree) -> None:
    files = {"docs/a.md": b"second", **{f"suites/{n}": bytes(20_000) for n in range(40)}}
    make(tmp_path / "second", files)
    started = time.perf_counter()
    whole = VersionTree(tmp_path / "other")
    put(tmp_path / "second", whole)
    took_s = time.perf_counter() - started
    for share in (0.05, 0.3, 0.5, 0.7, 0.9, 0.97):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "second"), str(used.root), str(share * took_s)]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
        assert done.returncode in {0, -9}, done.stderr
        version = used.root / "current"
        if text(used) == "second":
            assert all((version / path).read_bytes() == content for path, content in files.items())
            used.rollback(None)
        assert text(used) == "first"
    put(tmp_path / "second", used)
    assert text(used) == "second"
    assert not used.staging.exists()


def test_versions_that_can_not_be_removed_do_no_harm(
    tmp_path: Path, tree: VersionTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, word in enumerate(("one", "two", "three", "four")):
        make(tmp_path / word, {"docs/a.md": word.encode()})
        if number == 2:
            monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
        if number == 3:
            monkeypatch.undo()
        put(tmp_path / word, tree, float(number))
        assert text(tree) == word
        assert len(tree.installed()) == min(2, number + 1)
    assert not tree.staging.exists()


def test_two_installations_at_once(tmp_path: Path, used: VersionTree) -> None:
    make(tmp_path / "b")
    with used.locked(), pytest.raises(AlreadyRunning):
        put(tmp_path / "b", used)


def test_a_link_in_place_of_the_staging_directory_is_not_followed(tmp_path: Path, used: VersionTree) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("stays")
    used.staging.symlink_to(elsewhere)
    make(tmp_path / "b")
    put(tmp_path / "b", used)
    assert (elsewhere / "precious").read_text() == "stays"
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
