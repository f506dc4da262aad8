"""Making a bundle: the same for the same files, in parts, resumed, and never half there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.airgap import pack as packing
from appliance.airgap.pack import Form, Heading, pack
from appliance.airgap.signing import key_id
from appliance.airgap.source import Source, from_file
from appliance.airgap.verify import verify
from appliance.errors import AlreadyRunning, BundleError, ConfigError, ContentRefused
from tests.airgap.bundles import FILES, KEY, TRUSTED, make, snapshot

HEADING = Heading("test", "0.1.0")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Files on the disk, of which the larger ones take more than one read."""
    directory = tmp_path / "files"
    directory.mkdir()
    made = []
    for number in range(6):
        file = directory / f"{number}.bin"
        file.write_bytes(os.urandom(1) * (number * 700_001))
        made.append(from_file(f"docs/{number}.bin", file))
    return made


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_files_make_the_same_bundle(tmp_path: Path, sources: list[Source]) -> None:
    pack(sources, HEADING, KEY, tmp_path / "one")
    for source in sources:
        assert isinstance(source.origin, Path)
        os.utime(source.origin, (1, 1))
        source.origin.chmod(0o600)
    pack(list(reversed(sources)), HEADING, KEY, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert set(contents(tmp_path / "one")) == {"bundle.json", "bundle.sig", "payload.tar"}
    assert verify(tmp_path / "one", TRUSTED).manifest.key_id == key_id(KEY.public_key())


@pytest.mark.parametrize("part_bytes", [512, 1024, 5_000_192, 1 << 30])
def test_parts_are_read_as_one(tmp_path: Path, part_bytes: int) -> None:
    whole, split = tmp_path / "whole", tmp_path / "split"
    assert make(whole) == make(split, part_bytes=part_bytes)
    parts = sorted(split.glob("payload.tar.*"))
    assert b"".join(part.read_bytes() for part in parts) == (whole / "payload.tar").read_bytes()
    assert all(part.stat().st_size <= part_bytes for part in parts)
    assert verify(split, TRUSTED).content == verify(whole, TRUSTED).content


def test_an_interrupted_run_goes_on(tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[str] = []
    real = packing._read

    def failing(source: Source, *rest: object) -> str:
        if len(packed) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(noted(source), *rest)  # type: ignore[arg-type] # passed on as they came

    def noted(source: Source) -> Source:
        packed.append(source.path)
        return source

    monkeypatch.setattr(packing, "_read", failing)
    monkeypatch.setattr("appliance.airgap.copying.threads", lambda: 1)
    with pytest.raises(BundleError, match="the same command goes on with it"):
        pack(sources, HEADING, KEY, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    before = list(packed)
    packed.clear()
    monkeypatch.setattr(packing, "_read", lambda source, *rest: real(noted(source), *rest))
    pack(sources, HEADING, KEY, tmp_path / "b")
    assert sorted(before + packed) == [source.path for source in sources]
    monkeypatch.undo()
    pack(sources, HEADING, KEY, tmp_path / "whole")
    assert contents(tmp_path / "b") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "files", "whole"]


def tampered(work: Path) -> None:
    payload = work / "payload.tar"
    payload.write_bytes(bytes(payload.stat().st_size))


def half_a_line(work: Path) -> None:
    journal = work / "journal"
    journal.write_bytes(journal.read_bytes()[:-10])


def other_payload(work: Path) -> None:
    (work / "journal").write_text("None 1\n")


@pytest.mark.parametrize("damage", [tampered, half_a_line, other_payload])
def test_what_an_interrupted_run_left_is_not_trusted(
    tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_publish", failing)
        with pytest.raises(BundleError, match="Input/output error"):
            pack(sources, HEADING, KEY, tmp_path / "b")
    damage(tmp_path / ".b.making")
    pack(sources, HEADING, KEY, tmp_path / "b")
    verify(tmp_path / "b", TRUSTED)


def test_a_file_that_changed_meanwhile_is_packed_anew(
    tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_publish", failing)
        with pytest.raises(BundleError):
            pack(sources, HEADING, KEY, tmp_path / "b")
    changed = sources[2].origin
    assert isinstance(changed, Path)
    changed.write_bytes(b"\0" * sources[2].size_bytes)
    manifest = pack(sources, HEADING, KEY, tmp_path / "b")
    verify(tmp_path / "b", TRUSTED)
    pack(sources, HEADING, KEY, tmp_path / "fresh")
    assert verify(tmp_path / "fresh", TRUSTED).manifest == manifest


@pytest.mark.parametrize("change", [b"", b"longer than it was when the bundle was begun" * 100])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"as it was")
    source = from_file("docs/file", file)
    file.write_bytes(change)
    with pytest.raises(BundleError, match="changed while it was read"):
        pack([source], HEADING, KEY, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_not_the_approved_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"something")
    with pytest.raises(ContentRefused, match="not the approved file"):
        pack([from_file("docs/file", file, "0" * 64)], HEADING, KEY, tmp_path / "b")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "b")
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match="is there already"):
        make(tmp_path / "b", {"docs/a": b"other"})
    assert snapshot(tmp_path) == before


def test_two_at_once(tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    real = packing._publish

    def meanwhile(*arguments: object) -> None:
        with pytest.raises(AlreadyRunning):
            pack(sources, HEADING, KEY, tmp_path / "b")
        real(*arguments)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(packing, "_publish", meanwhile)
    pack(sources, HEADING, KEY, tmp_path / "b")
    verify(tmp_path / "b", TRUSTED)


def test_a_path_that_no_bundle_may_have_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"):
        make(tmp_path / "b", {"../x": b""})
    assert not (tmp_path / "b").exists()


def test_only_what_changed(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    changed = {**FILES, "docs/short.md": b"y", "docs/new.md": b"new"}
    delta = make(tmp_path / "delta", changed, base=base)
    assert [entry.path for entry in delta.carried] == ["docs/new.md", "docs/short.md"]
    assert delta.base == base.bundle_id
    verify(tmp_path / "delta", TRUSTED)
    assert Form().base is None
