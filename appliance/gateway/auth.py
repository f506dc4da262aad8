"""Who calls: what a request shows of its caller, and the ways in which that is looked at."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from starlette.types import Scope as AsgiScope

from appliance.config.secret_file import make_secret_file
from appliance.domain.tenant import ALL_SCOPES, Tenant
from appliance.errors import ConfigError, NotAuthenticated

MIN_KEY_CHARS: Final = 16

WAY_OUT: Final = "send the header `Authorization: Bearer <key>`; `appliance up` says where the key file is"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request shows: a bearer credential, the names in the client certificate on its connection, the address
    that the connection comes from, and the headers."""

    bearer: bytes | None = None
    names: tuple[str, ...] = ()
    address: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()


class Authenticator(Protocol):
    """Turns what a request shows into a tenant. Both raise NotAuthenticated."""

    def known(self, shown: Presented) -> Tenant | None:
        """The caller, at once and without I/O; None where `found` has to look."""
        ...

    async def found(self, shown: Presented) -> Tenant:
        """The caller, after a look at what may have changed since."""
        ...


class OpenDoor:
    """Everybody is the same tenant and may do everything: for loopback without keys."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = replace(tenant, scopes=ALL_SCOPES, credential="no key is asked for")

    def known(self, _shown: Presented) -> Tenant:
        """The one tenant."""
        return self._tenant

    async def found(self, _shown: Presented) -> Tenant:
        """The one tenant."""
        return self._tenant


class KeyRing:
    """The keys of the key file, kept as HMAC-SHA256 under a pepper of this process; they have all scopes.

    `tenant` is theirs, or tells it each time, where that may change.
    """

    def __init__(self, keys: Sequence[str], tenant: Tenant | Callable[[], Tenant]) -> None:
        self._hmac = hmac.new(secrets.token_bytes(32), digestmod=hashlib.sha256)
        self._digests = frozenset(self._digest(key.encode()) for key in keys)
        self._tenant: Callable[[], Tenant] = tenant if callable(tenant) else lambda: tenant
        self._said: tuple[Tenant, Tenant] | None = None

    def holds(self, key: bytes) -> bool:
        """Whether it is one of them. Which digest a guess has, nobody outside can know."""
        return self._digest(key) in self._digests

    def tenant(self) -> Tenant:
        """Whose keys they are."""
        base = self._tenant()
        if self._said is None or self._said[0] is not base:  # a copy takes longer than the rest of the check
            self._said = base, replace(base, scopes=ALL_SCOPES, credential="the key file")
        return self._said[1]

    def known(self, shown: Presented) -> Tenant:
        """The tenant of a known key."""
        if shown.bearer is None:
            raise NotAuthenticated(f"no API key given; {WAY_OUT}")
        if not self.holds(shown.bearer):
            raise NotAuthenticated(f"the API key is not known here; {WAY_OUT}")
        return self.tenant()

    async def found(self, shown: Presented) -> Tenant:
        """The same."""
        return self.known(shown)

    def _digest(self, key: bytes) -> bytes:
        digest = self._hmac.copy()  # a third faster than hmac.digest
        digest.update(key)
        return digest.digest()


def presented(scope: AsgiScope) -> Presented:
    """What a request shows, by its connection and its Authorization header.

    Two headers, or another scheme than Bearer, are a refusal: NotAuthenticated.
    """
    bearer: bytes | None = None
    for name, value in scope["headers"]:
        if name != b"authorization":
            continue
        scheme, _, credential = value.strip().partition(b" ")
        credential = credential.strip()
        if bearer is not None or scheme.lower() != b"bearer" or not credential:
            raise NotAuthenticated(f"the Authorization header is not one bearer key; {WAY_OUT}")
        bearer = bytes(credential)
    if bearer is not None:
        return Presented(bearer)
    tls, client = scope.get("extensions", {}).get("tls"), scope.get("client")
    return Presented(
        None, tuple(tls["client_cert_names"]) if tls else (), client[0] if client else "", scope["headers"]
    )


def read_or_make_keys(file: Path) -> list[str]:
    """The keys of the file, one per line, `#` for comments; made with one random key when it is not there.

    Raises ConfigError when it can't be used.
    """
    try:
        if not file.exists():
            make_secret_file(file, f"sk-{secrets.token_urlsafe(32)}")
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
