"""API keys: how they look, and the digest by which they are known.

`sk-<id>-<secret>`: the id finds the key in lists and logs, the secret has 256 random bits. What is kept is an
HMAC-SHA256 of the whole key under a pepper that is not in the database: neither reading the database nor sending what
it holds opens anything.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.config.secret_file import make_secret_file
from appliance.errors import ConfigError

PEPPER_VARIABLE: Final = "APPLIANCE_KEY_PEPPER"

_ID_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without letters and digits that look alike."""
_ID_CHARS: Final = 8
_SECRET_BYTES: Final = 32
_LEAST_PEPPER_BYTES: Final = 32


class Digester:
    """HMAC-SHA256 under one pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._keyed = hmac.new(pepper, digestmod=hashlib.sha256)

    def digest(self, key: bytes) -> bytes:
        """Of one key; copying the keyed state costs a third less than keying it each time."""
        digest = self._keyed.copy()
        digest.update(key)
        return digest.digest()

    @property
    def check(self) -> str:
        """By which the same pepper is known again (hex)."""
        return self.digest(b"the pepper of this ledger's keys").hex()


def new_key() -> tuple[str, str]:
    """An id and a whole key."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARS))
    return key_id, f"sk-{key_id}-{secrets.token_urlsafe(_SECRET_BYTES)}"


def read_or_make_pepper(file: Path, environment: Mapping[str, str]) -> bytes:
    """The pepper from the environment, else from the file, which is made when it is not there. Raises ConfigError."""
    given = environment.get(PEPPER_VARIABLE)
    if given is not None:
        return _checked(given.encode(), PEPPER_VARIABLE)
    try:
        if not file.exists():
            make_secret_file(file, secrets.token_hex(_LEAST_PEPPER_BYTES))
        return _checked(file.read_bytes().strip(), f"access.pepper_file: {file}")
    except OSError as error:
        raise ConfigError(f"access.pepper_file: {file} can't be used: {error.strerror or error}") from None


def _checked(pepper: bytes, where: str) -> bytes:
    if len(pepper) < _LEAST_PEPPER_BYTES:
        raise ConfigError(f"{where}: holds less than {_LEAST_PEPPER_BYTES} bytes; give a longer secret")
    return pepper
