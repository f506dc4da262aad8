"""Real bundles that were tampered with: every one is refused, and what is installed stays as it was."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.airgap.bundle import MANIFEST, SIGNATURE
from appliance.airgap.tar_form import BLOCK_BYTES, Member, layout
from appliance.airgap.verify import verify
from appliance.airgap.versions import VersionTree
from appliance.errors import (
    BundleDamaged,
    BundleError,
    BundleIncomplete,
    ContentRefused,
    ManifestInvalid,
    SignatureInvalid,
)
from tests.airgap.bundles import (
    FILES,
    OTHER_KEY,
    TRUSTED,
    document,
    entry,
    forged,
    make,
    payload,
    put,
    refusals,
    snapshot,
)

FLIPS = 1000
INSTALLED_EVERY = 5
"""An attempt to install waits for the disk, so not every flip is followed by one. (5 and the 3 files: all are met.)"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[VersionTree]:
    """A tree in which another bundle is in use; it must be the same after the test."""
    make(tmp_path / "before", {"docs/a.md": b"the version in use"})
    tree = VersionTree(tmp_path / "root")
    put(tmp_path / "before", tree)
    before = snapshot(tree.root)
    yield tree
    assert snapshot(tree.root) == before


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make(tmp_path / "bundle")
    return tmp_path / "bundle"


def refused(bundle: Path, tree: VersionTree, kind: type[BundleError], *words: str) -> None:
    """Verification and installation refuse it alike, with these words."""
    for error in refusals(bundle, tree):
        assert type(error) is kind, repr(error)
        assert all(word in str(error) for word in words), str(error)


def test_a_flipped_bit_anywhere_is_found(bundle: Path, tree: VersionTree) -> None:
    files = sorted(bundle.iterdir())
    sizes = [file.stat().st_size for file in files]
    randomness = random.Random(2026)
    for number in range(FLIPS):
        # A third in each file: the payload is far larger than the list and the signature.
        file = files[number % len(files)]
        position, bit = randomness.randrange(sizes[number % len(files)]), 1 << randomness.randrange(8)
        content = bytearray(file.read_bytes())
        content[position] ^= bit
        file.write_bytes(content)
        kind = BundleDamaged if file.name.startswith("payload") else SignatureInvalid
        with pytest.raises(kind):
            verify(bundle, TRUSTED)
        if number % INSTALLED_EVERY == 0:
            with pytest.raises(kind):
                put(bundle, tree)
        content[position] ^= bit
        file.write_bytes(content)
    verify(bundle, TRUSTED)


@pytest.mark.parametrize("path", [path for path, content in FILES.items() if content])
def test_each_bad_file_is_named(bundle: Path, tree: VersionTree, path: str) -> None:
    whole = bundle / "payload.tar"
    with tarfile.open(whole) as archive:
        at = archive.getmember(path).offset_data
    content = bytearray(whole.read_bytes())
    content[at] ^= 1
    whole.write_bytes(content)
    refused(bundle, tree, BundleDamaged, path)


def test_all_bad_files_are_named(bundle: Path, tree: VersionTree) -> None:
    whole = bundle / "payload.tar"
    whole.write_bytes(bytes(whole.stat().st_size))
    error, _ = refusals(bundle, tree)
    assert isinstance(error, BundleDamaged)
    assert len(error.problems) == len(FILES)


@pytest.mark.parametrize("left", [0, 1, 512, 1000])
def test_truncated_payload(bundle: Path, tree: VersionTree, left: int) -> None:
    whole = bundle / "payload.tar"
    whole.write_bytes(whole.read_bytes()[:left])
    refused(bundle, tree, BundleIncomplete, "cut off")


def test_payload_with_something_appended(bundle: Path, tree: VersionTree) -> None:
    with (bundle / "payload.tar").open("ab") as file:
        file.write(bytes(BLOCK_BYTES))
    refused(bundle, tree, BundleIncomplete, "more than was signed")


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE, "payload.tar"])
def test_missing_file(bundle: Path, tree: VersionTree, name: str) -> None:
    (bundle / name).unlink()
    refused(bundle, tree, BundleIncomplete)


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_truncated_list_and_signature(bundle: Path, tree: VersionTree, name: str) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-1])
    refused(bundle, tree, SignatureInvalid)


def test_a_signature_that_never_ends(bundle: Path, tree: VersionTree) -> None:
    (bundle / SIGNATURE).write_bytes(bytes(10_000))
    refused(bundle, tree, SignatureInvalid, "no signature")


def test_missing_and_cut_parts(tmp_path: Path, tree: VersionTree) -> None:
    make(tmp_path / "split", part_bytes=2048)
    parts = sorted((tmp_path / "split").glob("payload.tar.*"))
    assert len(parts) > 4
    for part in (parts[0], parts[2]):
        content = part.read_bytes()
        part.unlink()
        refused(tmp_path / "split", tree, BundleIncomplete, part.name)
        part.write_bytes(content[:-1])
        refused(tmp_path / "split", tree, BundleIncomplete, "cut off")
        part.write_bytes(content)
    parts[-1].unlink()
    refused(tmp_path / "split", tree, BundleIncomplete, "cut off")


def test_swapped_parts(tmp_path: Path, tree: VersionTree) -> None:
    make(tmp_path / "split", part_bytes=2048)
    one, two = (tmp_path / "split" / f"payload.tar.00{number}" for number in (1, 2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    refused(tmp_path / "split", tree, BundleDamaged)


def test_swapped_files_of_one_size(tmp_path: Path, tree: VersionTree) -> None:
    make(tmp_path / "two", {"docs/a.md": b"yes", "docs/b.md": b"no!"})
    whole = tmp_path / "two" / "payload.tar"
    content = whole.read_bytes()
    blocks = [content[at : at + 1024] for at in (0, 1024)]
    whole.write_bytes(blocks[1] + blocks[0] + content[2048:])
    refused(tmp_path / "two", tree, BundleDamaged, "docs/a.md")
    heads = [block[:512] for block in blocks]
    whole.write_bytes(heads[0] + blocks[1][512:] + heads[1] + blocks[0][512:] + content[2048:])
    refused(tmp_path / "two", tree, BundleDamaged, "docs/a.md")


def test_signature_by_another_key(bundle: Path, tree: VersionTree) -> None:
    (bundle / SIGNATURE).write_bytes(OTHER_KEY.sign((bundle / MANIFEST).read_bytes()))
    refused(bundle, tree, SignatureInvalid, "not signed by a trusted key")


def test_list_and_payload_of_another_bundle(tmp_path: Path, bundle: Path, tree: VersionTree) -> None:
    other = make(tmp_path / "other", {**FILES, "docs/short.md": b"y"})
    assert other.bundle_id
    shutil.copy(tmp_path / "other" / "payload.tar", bundle / "payload.tar")
    refused(bundle, tree, BundleDamaged, "docs/short.md")
    shutil.copy(tmp_path / "other" / MANIFEST, bundle / MANIFEST)
    refused(bundle, tree, SignatureInvalid)


def test_a_list_that_names_another_signer(tmp_path: Path, tree: VersionTree) -> None:
    made = forged(tmp_path / "b", document(entry("docs/a.md"), key_id="0" * 16), payload({"docs/a.md": b"x"}))
    refused(made, tree, SignatureInvalid, "0" * 16)


HOSTILE_PATHS = [
    "../outside",
    "docs/../../outside",
    "docs/..",
    "/etc/passwd",
    "//docs/a",
    "docs//a",
    "docs/./a",
    "docs/",
    "docs",
    "elsewhere/a",
    "docs/.hidden",
    "docs/a\\b",
    "docs/a\x00b",
    "docs/a\nb",
    "docs/ü",
    "docs/a.",
    "docs/" + "n" * 300,
    "docs/" + "a/" * 600 + "b",
    "installed.json",
    "bundle.json",
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_hostile_paths(tmp_path: Path, tree: VersionTree, path: str) -> None:
    made = forged(tmp_path / "b", document(entry(path)), b"")
    refused(made, tree, ManifestInvalid)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "paths",
    [
        ("docs/a.md", "docs/a.md"),
        ("docs/a.md", "docs/A.md"),
        ("docs/One/a.md", "docs/one/b.md"),
        ("docs/a", "docs/a/b"),
        ("docs/a/b", "docs/a"),
        ("docs/a/b", "docs/A"),
    ],
)
def test_entries_that_exclude_each_other(tmp_path: Path, tree: VersionTree, paths: tuple[str, ...]) -> None:
    made = forged(tmp_path / "b", document(*map(entry, paths)), b"")
    refused(made, tree, ManifestInvalid)


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_unknown_versions(tmp_path: Path, tree: VersionTree, version: Any) -> None:
    made = forged(tmp_path / "b", {**document(entry("docs/a.md")), "version": version}, b"")
    refused(made, tree, ManifestInvalid)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 1, "version": 1}',
        b'{"version": 1}',
        b'{"version": 1, "entries": []}',
    ],
)
def test_lists_that_are_none(tmp_path: Path, tree: VersionTree, content: bytes) -> None:
    refused(forged(tmp_path / "b", content, b""), tree, ManifestInvalid)


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"base": "../../x"},
        {"name": "../x"},
        {"entries": [{**entry("docs/a.md"), "size_bytes": -1}]},
        {"entries": [{**entry("docs/a.md"), "size_bytes": 1 << 60}]},
        {"entries": [{**entry("docs/a.md"), "sha256": "0"}]},
        {"entries": [{**entry("docs/a.md"), "mode": 0o4755}]},
        {"entries": [{**entry("docs/a.md"), "in_base": True}]},
        {"images": [{"path": "images/a.tar", "form": "oci-archive", "references": ["$(touch /tmp/x)"]}]},
    ],
)
def test_lists_with_something_impossible(tmp_path: Path, tree: VersionTree, change: dict[str, Any]) -> None:
    made = forged(tmp_path / "b", {**document(entry("docs/a.md")), **change}, payload({"docs/a.md": b"x"}))
    refused(made, tree, ManifestInvalid)


KINDS = {
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "directory": tarfile.DIRTYPE,
}


@pytest.mark.parametrize("kind", KINDS)
def test_members_that_are_no_files(tmp_path: Path, tree: VersionTree, kind: str) -> None:
    """A real archive, listed and signed as if it were a file of no bytes."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("docs/a.md")
        member.type, member.linkname, member.devmajor, member.devminor = KINDS[kind], "../../../outside", 1, 3
        archive.addfile(member)
    made = forged(tmp_path / "b", document(entry("docs/a.md", b"")), written.getvalue()[:1536])
    refused(made, tree, BundleDamaged, "docs/a.md")
    assert not (tmp_path / "outside").exists()


def test_the_payload_may_not_be_a_link(tmp_path: Path, bundle: Path, tree: VersionTree) -> None:
    (bundle / "payload.tar").rename(tmp_path / "elsewhere.tar")
    (bundle / "payload.tar").symlink_to(tmp_path / "elsewhere.tar")
    refused(bundle, tree, BundleIncomplete, "symbolic link")


def test_a_list_that_declares_more_than_the_disk_has(tmp_path: Path, tree: VersionTree) -> None:
    """A bomb: little on the media, a petabyte on the disk. The sizes are known before anything is written."""
    bomb = {**entry("docs/a.md"), "size_bytes": 1 << 50}
    refused(forged(tmp_path / "b", document(bomb), payload({"docs/a.md": b"x"})), tree, BundleIncomplete)
    sparse = forged(tmp_path / "c", document({**entry("docs/a.md"), "size_bytes": 1 << 42}), b"")
    with (sparse / "payload.tar").open("r+b") as file:
        file.truncate(layout([Member("docs/a.md", 1 << 42)]).size_bytes)
    with pytest.raises(BundleError, match="more are needed"):
        put(sparse, tree)


def test_compressed_bombs_are_never_unpacked(tmp_path: Path, tree: VersionTree) -> None:
    """An image or wheel is a file like any other: it takes the bytes that are listed, whatever is inside."""
    bomb = gzip.compress(bytes(50_000_000))
    make(tmp_path / "b", {"docs/bomb.tar.gz": bomb})
    other = VersionTree(tmp_path / "other")
    put(tmp_path / "b", other)
    taken = sum(path.stat().st_size for path in (tmp_path / "other").rglob("*") if path.is_file())
    assert taken < len(bomb) + 5_000


@pytest.mark.parametrize("name", ["model.bin", "weights.PT", "modeling_x.py", "lib.so", "a.pkl"])
def test_code_in_a_models_directory(tmp_path: Path, tree: VersionTree, name: str) -> None:
    path = f"models/m/{name}"
    make(tmp_path / "b", {path: b"x"})
    with pytest.raises(ContentRefused, match="can run code"):
        put(tmp_path / "b", tree)


def test_the_right_key_and_an_untouched_bundle_are_taken(tmp_path: Path, bundle: Path) -> None:
    tree = VersionTree(tmp_path / "fresh")
    assert refusals(bundle, tree) == (None, None)
    for path, content in FILES.items():
        assert (tmp_path / "fresh" / "current" / path).read_bytes() == content
