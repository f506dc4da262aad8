"""Ed25519 keys and signatures: the private key signs on the connected side, the public one verifies on the other.

A signature stands over the bytes of the manifest alone, so that other programs can check it:
`openssl pkeyutl -verify -rawin -pubin -inkey KEY.pub -in bundle.json -sigfile bundle.sig`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.errors import ConfigError, SignatureInvalid

LARGEST_KEY_BYTES = 10_000
SIGNATURE_BYTES = 64


def write_key_pair(private: Path) -> Path:
    """A new private key at `private`, readable by its owner alone; the path of the public one beside it.

    Nothing is overwritten. Raises ConfigError.
    """
    public = private.with_name(private.name + ".pub")
    if public.exists():
        raise ConfigError(f"{public}: is there already; name another file")
    key = Ed25519PrivateKey.generate()
    _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _write_new(public, _pem(key.public_key()), 0o644)
    return public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises ConfigError where it can't be read, is no Ed25519 key, or could be read by others."""
    content = _read(path)
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others may read this private key; `chmod 600 {path}`")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is no Ed25519 private key (PEM, no passphrase); make one with `bundle keygen`")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Raises ConfigError."""
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: is no Ed25519 public key (PEM); give the *.pub file of `bundle keygen`")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a key: the beginning of the digest of its 32 bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def check(content: bytes, signature: bytes, trusted: Sequence[Ed25519PublicKey]) -> str:
    """The id of the trusted key that signed `content`. Raises SignatureInvalid."""
    for key in trusted:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return key_id(key)
    ids = ", ".join(key_id(key) for key in trusted)
    raise SignatureInvalid(
        f"the list of contents is not signed by a trusted key ({ids}): it was changed, or another key signed it; "
        "do not use the bundle, and ask its makers for the id of their key"
    )


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: the key can't be read: {error.strerror}") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; name another file") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from None
