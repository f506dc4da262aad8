"""The keys of packs' doors, in a file that may change while it is used."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from appliance.config.secret_file import make_secret_file
from appliance.errors import ConfigError

MIN_KEY_CHARS = 32


class PackKeys:
    """Reads `file` again when it has changed; keeps what it knows while the file can't be read.

    With `make` it writes a file with one random key where there is none. Raises ConfigError.
    """

    def __init__(self, file: Path, *, make: bool = False) -> None:
        self._file = file
        if make and not file.exists():
            _make(file)
        self._seen = _stamp(file)
        self._keys = _read(file)

    @property
    def first(self) -> str:
        """The one to send."""
        self._refresh()
        return self._keys[0]

    def allows(self, key: bytes) -> bool:
        """Whether it is one of them; all are compared, none by content."""
        self._refresh()
        given = hashlib.sha256(key).digest()
        return bool(sum([hmac.compare_digest(given, hashlib.sha256(known.encode()).digest()) for known in self._keys]))

    def _refresh(self) -> None:
        stamp = _stamp(self._file)
        if stamp is None or stamp == self._seen:
            return
        try:
            self._keys, self._seen = _read(self._file), stamp
        except ConfigError:
            return  # half written, or gone for a moment: it is read again


class OneKey:
    """A key that only this process and its children know."""

    def __init__(self, key: str) -> None:
        self.first = key

    def allows(self, key: bytes) -> bool:
        """Whether it is that one."""
        return hmac.compare_digest(key, self.first.encode())


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cluster.key_file: {file} can't be read: {getattr(error, 'strerror', error)}") from None
    keys = tuple(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))
    if not keys or any(len(key) < MIN_KEY_CHARS or not key.isascii() or " " in key for key in keys):
        raise ConfigError(
            f"cluster.key_file: {file}: expected keys of {MIN_KEY_CHARS} ASCII characters or more without blanks, one "
            "per line; make one with `openssl rand -hex 32`"
        )
    return keys


def _make(file: Path) -> None:
    try:
        make_secret_file(file, secrets.token_hex(32))
    except OSError as error:
        raise ConfigError(f"cluster.key_file: {file} can't be made: {error.strerror}") from None
