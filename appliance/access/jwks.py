"""An identity provider's public keys, from a file or an address, kept until they are read again."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import structlog
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from appliance.errors import ConfigError

LEAST_BETWEEN_S: Final = 10.0
"""However many tokens name keys that are not known."""

_FETCH_TIMEOUT_S: Final = 5.0
_MAX_BYTES: Final = 1_000_000
_SIGNING_TYPES: Final = frozenset({"RSA", "EC", "OKP"})

_log = structlog.get_logger(__name__)

Source = Callable[[], Awaitable[bytes | None]]
"""Gets the document; None: it is as it was."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key for signatures; `key_type` as JWKS names it, `algorithm` where it is meant for one alone."""

    key_id: str | None
    key_type: str
    algorithm: str | None
    key: Any


def parse(document: bytes) -> tuple[SigningKey, ...]:
    """The keys of a JWKS that may sign. Raises ValueError. Secret ones (`oct`) are never taken."""
    try:
        whole = orjson.loads(document)
        signing = [key for key in whole["keys"] if key.get("kty") in _SIGNING_TYPES and key.get("use", "sig") == "sig"]
        keys = PyJWKSet.from_dict({"keys": signing}).keys if signing else []
    except (PyJWTError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a JWKS: {type(error).__name__}") from None
    return tuple(_signing(key) for key in keys)


def _signing(jwk: PyJWK) -> SigningKey:
    said = jwk._jwk_data
    return SigningKey(jwk.key_id, str(said.get("kty")), said.get("alg"), jwk.key)


class KeySet:
    """The keys of one issuer. `refresh_s`: how old they may be before they are read again beside answering."""

    def __init__(
        self, source: Source, refresh_s: float, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._refresh_s = refresh_s
        self._name = name
        self._clock = clock
        self._tried_s: float | None = None
        self.keys: tuple[SigningKey, ...] = ()
        self.version = 0

    @property
    def due(self) -> bool:
        """Whether they are to be read again."""
        return self._tried_s is None or self._clock() - self._tried_s >= self._refresh_s

    async def read_again(self) -> None:
        """Read them, unless that was tried a moment ago. Where it fails those that there were stay."""
        if self._tried_s is not None and self._clock() - self._tried_s < LEAST_BETWEEN_S:
            return
        self._tried_s = self._clock()
        try:
            document = await self._source()
            if document is not None:
                self.keys, self.version = parse(document), self.version + 1
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            _log.warning("an issuer's keys could not be read", issuer=self._name, error=_said(error))


def from_file(path: Path) -> Source:
    """A file, read when it has changed. Raises ConfigError where it is none now."""
    try:
        parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"access.issuers.jwks_file: {path}: {error}") from None
    last: tuple[int, int] | None = None

    def changed() -> bytes | None:
        nonlocal last
        status = path.stat()
        if last == (status.st_mtime_ns, status.st_size):
            return None
        document = path.read_bytes()
        last = (status.st_mtime_ns, status.st_size)
        return document

    async def read() -> bytes | None:
        return await asyncio.to_thread(changed)

    return read


def from_url(url: str, ca_file: Path | None) -> Source:
    """An address, asked without redirects and without a proxy. Raises ConfigError for unusable certificates."""
    try:
        trust: ssl.SSLContext | bool = True if ca_file is None else ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"access.issuers.ca_file: {ca_file}: {error}") from None

    async def fetch() -> bytes:
        timeout = aiohttp.ClientTimeout(total=_FETCH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False, ssl=trust) as response,
        ):
            if response.status != 200:
                raise ValueError(f"HTTP status {response.status}")
            document = await response.content.read(_MAX_BYTES + 1)
            if len(document) > _MAX_BYTES:
                raise ValueError("more than a megabyte")
            return document

    return fetch


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
