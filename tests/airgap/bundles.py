"""Small real bundles, keys, and trees to install them in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.airgap.bundle import MANIFEST, SIGNATURE
from appliance.airgap.install import Installation, install
from appliance.airgap.manifest import Manifest
from appliance.airgap.pack import Form, Heading, pack
from appliance.airgap.signing import key_id
from appliance.airgap.source import made
from appliance.airgap.tar_form import Member, header, layout
from appliance.airgap.verify import verify
from appliance.airgap.versions import VersionTree
from appliance.errors import BundleError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED: list[Ed25519PublicKey] = [KEY.public_key()]
FILES: Mapping[str, bytes] = {
    "config/appliance.yaml": b"version: 1\n",
    "docs/long.md": b"words " * 700,
    "docs/short.md": b"x",
    "suites/empty.jsonl": b"",
    "suites/some.jsonl": bytes(range(256)) * 20,
}


def make(
    out: Path, files: Mapping[str, bytes] = FILES, *, part_bytes: int | None = None, base: Manifest | None = None
) -> Manifest:
    """A bundle of some files, signed by KEY."""
    sources = [made(path, content) for path, content in files.items()]
    return pack(sources, Heading("test", "0.1.0"), KEY, out, Form(part_bytes, base))


def forged(out: Path, document: Any, payload: bytes | None = None, key: Ed25519PrivateKey = KEY) -> Path:
    """A bundle with a list of contents that `pack` would never write, signed all the same."""
    out.mkdir(parents=True)
    content = (
        document if isinstance(document, bytes) else json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    )
    (out / MANIFEST).write_bytes(content)
    (out / SIGNATURE).write_bytes(key.sign(content))
    if payload is not None:
        (out / "payload.tar").write_bytes(payload)
    return out


def document(*entries: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A list of contents in the form that is written."""
    named = {"name": "test", "appliance": "0.1.0", "key_id": key_id(KEY.public_key())}
    return {"version": 1, **named, "entries": [dict(entry) for entry in entries], **more}


def entry(path: str, content: bytes = b"x") -> dict[str, Any]:
    return {"path": path, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def payload(files: Mapping[str, bytes]) -> bytes:
    """A payload of the right form."""
    plan = layout(Member(path, len(content)) for path, content in files.items())
    whole = bytearray(plan.size_bytes)
    for place, content in zip(plan.places, files.values(), strict=True):
        whole[place.header_at : place.content_at] = header(place.member)
        whole[place.content_at : place.end_at] = content
    return bytes(whole)


def put(bundle: Path, tree: VersionTree, now_unix_s: float = 1.0) -> Installation:
    return install(bundle, TRUSTED, tree, now_unix_s)


def snapshot(root: Path) -> dict[str, Any]:
    """Everything below a directory: links with their targets, files with content, inode and time of change."""
    found: dict[str, Any] = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder) / name
            about = path.lstat()
            what = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            found[path.relative_to(root).as_posix()] = (about.st_mode, about.st_ino, what)
    found.pop("lock", None)
    return found


def refusals(bundle: Path, tree: VersionTree) -> tuple[BundleError | None, BundleError | None]:
    """What `verify` and `install` say to a bundle; None where they take it."""
    said: list[BundleError | None] = []
    for attempt in (lambda: verify(bundle, TRUSTED), lambda: put(bundle, tree)):
        try:
            attempt()
            said.append(None)
        except BundleError as error:
            said.append(error)
    return said[0], said[1]
