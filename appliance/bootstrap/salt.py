"""The secret under which tenants' prefixes are kept apart in the engines' caches."""

from __future__ import annotations

import secrets

from appliance.config import Settings
from appliance.errors import ConfigError

MIN_BYTES = 32


def salt_secret(settings: Settings) -> bytes:
    """The one that all gateways share, or one of this start alone. Raises ConfigError."""
    if settings.cluster.salt_file is None:
        return secrets.token_bytes(MIN_BYTES)
    file = settings.below_data_dir(settings.cluster.salt_file)
    try:
        content = file.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"cluster.salt_file: {file} can't be read: {error.strerror}") from None
    if len(content) < MIN_BYTES:
        raise ConfigError(
            f"cluster.salt_file: {file} holds less than {MIN_BYTES} bytes; make one with `openssl rand -hex 32`"
        )
    return content
