"""The payload's form: what other programs read in it."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.airgap.tar_form import Member, layout
from tests.airgap.bundles import make, payload

LONG = "docs/" + "/".join(["n" * 40] * 4) + "/end.md"


def test_tar_reads_what_was_packed(tmp_path: Path) -> None:
    files = {"docs/a.md": b"a" * 1000, LONG: b"long", "suites/empty": b""}
    make(tmp_path / "b", files)
    subprocess.run(["tar", "xf", tmp_path / "b" / "payload.tar", "-C", tmp_path], check=True)
    for path, content in files.items():
        assert (tmp_path / path).read_bytes() == content
    with tarfile.open(tmp_path / "b" / "payload.tar") as archive:
        assert archive.getnames() == sorted(files)


def test_files_of_more_than_eight_gibibytes(tmp_path: Path) -> None:
    members = [Member(LONG, 9 << 30), Member("docs/next.md", 3)]
    plan = layout(members)
    with (tmp_path / "sparse.tar").open("wb") as file:
        for place in plan.places:
            file.seek(place.header_at)
            file.write(place.header)
        file.truncate(plan.size_bytes)
    with tarfile.open(tmp_path / "sparse.tar") as archive:
        assert [Member(found.name, found.size) for found in archive] == members
    listed = subprocess.run(["tar", "tf", tmp_path / "sparse.tar"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == [member.path for member in members]


@given(
    st.lists(
        st.tuples(st.text("ab/c", min_size=1, max_size=240), st.binary(max_size=1500)),
        max_size=5,
        unique_by=lambda f: f[0],
    )
)
def test_places_follow_each_other_in_blocks(files: list[tuple[str, bytes]]) -> None:
    plan = layout(Member(path, len(content)) for path, content in files)
    position = 0
    for place in plan.places:
        assert place.header_at == position
        assert place.header_at % 512 == place.content_at % 512 == 0
        position = place.end_at + place.padding_bytes
    assert position == plan.end_at
    assert len(payload(dict(files))) == plan.size_bytes
