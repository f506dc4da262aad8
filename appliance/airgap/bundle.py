"""A bundle on disk: its signed list of contents, and its payload."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.airgap.manifest import LARGEST_BYTES, Manifest, read_manifest
from appliance.airgap.signing import SIGNATURE_BYTES, check
from appliance.errors import BundleIncomplete, ManifestInvalid, SignatureInvalid

MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest whose signature was checked, with its bytes as they were signed."""

    manifest: Manifest
    content: bytes
    signature: bytes


def read_signed(directory: Path, trusted: Sequence[Ed25519PublicKey]) -> SignedManifest:
    """The list of contents. Nothing of it is looked at before a trusted key is known to have signed it.

    Raises BundleIncomplete, SignatureInvalid, ManifestInvalid.
    """
    content = _read(directory / MANIFEST, LARGEST_BYTES)
    signature = _read(directory / SIGNATURE, SIGNATURE_BYTES)
    signer = check(content, signature, trusted)
    manifest = read_manifest(content)
    if manifest.key_id != signer:
        raise SignatureInvalid(
            f"{directory}: key {signer} signed a bundle that says it is signed by {manifest.key_id}; "
            "ask its makers which is right"
        )
    return SignedManifest(manifest, content, signature)


def read_unsigned(path: Path) -> Manifest:
    """A list of contents, of a bundle or of an installed version, for looking at alone: nobody vouches for it."""
    file = path / MANIFEST if path.is_dir() else path
    return read_manifest(_read(file, LARGEST_BYTES))


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise BundleIncomplete(
            f"{path}: can't be read: {error.strerror}; a bundle holds {MANIFEST}, {SIGNATURE} and its payload"
        ) from None
    if len(content) > limit_bytes:
        if path.name == SIGNATURE:
            raise SignatureInvalid(f"{path}: is no signature: it has more than {limit_bytes} bytes")
        raise ManifestInvalid(f"{path}: is larger than {limit_bytes} bytes, and refused")
    return content
