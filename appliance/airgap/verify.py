"""Is every byte of a bundle the one that was signed? Offline, with the public key alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.airgap.bundle import SignedManifest, read_signed
from appliance.airgap.copying import Write, side_by_side, streamed
from appliance.airgap.manifest import Entry
from appliance.airgap.payload import Payload
from appliance.airgap.tar_form import END, Layout, Place
from appliance.catalog.files import Progress, unheard
from appliance.errors import BundleDamaged, BundleIncomplete


def verify(directory: Path, trusted: Sequence[Ed25519PublicKey], progress: Progress = unheard) -> SignedManifest:
    """The list of contents of a bundle that is whole and sound.

    Raises BundleIncomplete, SignatureInvalid, ManifestInvalid, BundleDamaged, OSError.
    """
    signed = read_signed(directory, trusted)
    manifest = signed.manifest
    layout = manifest.layout()
    with Payload.reading(directory) as payload:
        require_size(directory, payload, layout)
        found = side_by_side(
            lambda pair: checked(payload, *pair, None, progress),
            list(zip(layout.places, manifest.carried, strict=True)),
        )
        problems = [problem for problem in (*found, end_problem(payload, layout)) if problem]
    if problems:
        raise BundleDamaged(problems)
    return signed


def require_size(directory: Path, payload: Payload, layout: Layout) -> None:
    """Raise BundleIncomplete unless the payload has the size that follows from the list."""
    if payload.size_bytes == layout.size_bytes:
        return
    less = payload.size_bytes < layout.size_bytes
    raise BundleIncomplete(
        f"{directory}: the payload has {payload.size_bytes} bytes and {layout.size_bytes} are listed: "
        + ("a part is missing or cut off; copy it from the source again" if less else "there is more than was signed")
    )


def checked(payload: Payload, place: Place, entry: Entry, write: Write | None, progress: Progress) -> str:
    """Read a member, its header and its padding, and write its content where wanted; what is wrong, or empty."""
    if payload.read(place.header_at, len(place.header)) != place.header:
        return f"{entry.path}: what stands before it in the payload is not what was signed"
    read_bytes, digest = streamed(
        lambda position, buffer: payload.read_into(place.content_at + position, buffer),
        entry.size_bytes,
        write,
        progress,
    )
    if read_bytes != entry.size_bytes or digest != entry.sha256:
        return f"{entry.path}: is damaged or was exchanged: its sha256 is {digest}, the list says {entry.sha256}"
    if any(payload.read(place.end_at, place.padding_bytes)):
        return f"{entry.path}: what stands after it in the payload is not what was signed"
    return ""


def end_problem(payload: Payload, layout: Layout) -> str:
    """What is wrong at the end of the payload, or empty."""
    return "" if payload.read(layout.end_at, len(END)) == END else "the end of the payload is not what was signed"
