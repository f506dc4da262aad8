"""Who calls: bearer keys from a file, kept in memory as keyed digests only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final, Protocol

from appliance.domain.tenant import Tenant
from appliance.errors import ConfigError, NotAuthenticated

MIN_KEY_CHARS: Final = 16

WAY_OUT: Final = "send the header `Authorization: Bearer <key>`; `appliance up` says where the key file is"


class Authenticator(Protocol):
    """Turns a credential into a tenant."""

    def tenant(self, credential: bytes | None) -> Tenant:
        """The caller. Raises NotAuthenticated."""


class OpenDoor:
    """Everybody is the same tenant: for loopback without keys."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def tenant(self, credential: bytes | None) -> Tenant:
        """The one tenant."""
        return self._tenant


class KeyRing:
    """Checks keys by HMAC-SHA256 under a pepper of this process: all of them each time, none of them by content."""

    def __init__(self, keys: list[str], tenant: Tenant) -> None:
        self._pepper = secrets.token_bytes(32)
        self._digests = [self._digest(key.encode()) for key in keys]
        self._tenant = tenant

    def tenant(self, credential: bytes | None) -> Tenant:
        """The tenant of a known key."""
        if credential is None:
            raise NotAuthenticated(f"no API key given; {WAY_OUT}")
        given = self._digest(credential)
        if not sum([hmac.compare_digest(given, known) for known in self._digests]):
            raise NotAuthenticated(f"the API key is not known here; {WAY_OUT}")
        return self._tenant

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._pepper, key, hashlib.sha256)


def read_or_make_keys(file: Path) -> list[str]:
    """The keys of the file, one per line, `#` for comments; made with one random key when it is not there.

    Raises ConfigError when it can't be used.
    """
    try:
        if not file.exists():
            _make(file)
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"server.api_key_file: {file} can't be used: {error}") from None
    keys = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not keys:
        raise ConfigError(f"server.api_key_file: {file} holds no key; write one, or delete it to have one made")
    if any(len(key) < MIN_KEY_CHARS or not key.isascii() or " " in key for key in keys):
        raise ConfigError(
            f"server.api_key_file: {file} holds a key that is shorter than {MIN_KEY_CHARS} characters, has blanks "
            "or is not ASCII; replace it"
        )
    return keys


def _make(file: Path) -> None:
    """In one step: a run that is killed meanwhile must not leave an empty file to the next one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(f"sk-{secrets.token_urlsafe(32)}\n")
    draft.replace(file)
