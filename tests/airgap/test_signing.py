"""Keys and signatures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.airgap.bundle import MANIFEST, SIGNATURE
from appliance.airgap.signing import check, key_id, read_private_key, read_public_key, write_key_pair
from appliance.errors import ConfigError, SignatureInvalid
from tests.airgap.bundles import KEY, OTHER_KEY, make


def test_a_key_pair_is_written_once_and_readable_by_its_owner(tmp_path: Path) -> None:
    private = tmp_path / "key"
    public = write_key_pair(private)
    assert private.stat().st_mode & 0o777 == 0o600
    signature = read_private_key(private).sign(b"text")
    assert check(b"text", signature, [OTHER_KEY.public_key(), read_public_key(public)]) == key_id(
        read_public_key(public)
    )
    before = private.read_bytes(), public.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        write_key_pair(private)
    public.unlink()
    with pytest.raises(ConfigError, match="is there already"):
        write_key_pair(private)
    assert private.read_bytes() == before[0]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_private_key(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_files_that_hold_no_key(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="no Ed25519 private key"):
        read_private_key(file)
    with pytest.raises(ConfigError, match="no Ed25519 public key"):
        read_public_key(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_public_key(tmp_path / "missing")


def test_a_wrong_signature_names_the_keys_that_are_trusted() -> None:
    with pytest.raises(SignatureInvalid, match=key_id(OTHER_KEY.public_key())):
        check(b"text", KEY.sign(b"text"), [OTHER_KEY.public_key()])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here to compare with")
def test_openssl_checks_the_same_signature(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    make(tmp_path / "b")
    public = tmp_path / "key.pub"
    public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    content, signature = str(tmp_path / "b" / MANIFEST), str(tmp_path / "b" / SIGNATURE)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(public), "-in", content]
    done = subprocess.run([*command, "-sigfile", signature], capture_output=True, text=True)
    assert "Verified Successfully" in done.stdout, done.stderr
