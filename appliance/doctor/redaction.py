"""Texts without secrets, prompts and answers. Pure.

What is kept is what is known to be harmless; a text that could hold what a caller sent is dropped, not searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

REDACTED = "[redacted]"
LEAST_SECRET = 6
"""Shorter values, such as `true`, stand everywhere."""

_SECRETS = "password|passwd|secrets?|api_key|private_key|token|credentials?|salt|dsn"
_SECRET_KEY = re.compile(rf"(?:^|_)(?:{_SECRETS})$")
_HEAD = r"(?:\(\S+ pid=\d+\) )?(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) +\d\d-\d\d \d\d:\d\d:\d\d \[[\w.:/-]+\]"
_LINE = re.compile(rf"^(?P<head>{_HEAD})(?: .*)?$")
_FRAME = re.compile(rf'^(?:{_HEAD})?\s*File "[^"]+", line \d+, in [\w<>]+$')
_BEGINS = re.compile(r"\[(?:\w+/)*(?:api_server|utils|serve_utils)\.py:\d+\] .*vLLM API server version")
_READY = "Application startup complete"


def without(text: str, secrets: Iterable[str]) -> str:
    """Each of the secrets replaced, the longest first."""
    for secret in sorted({s for s in secrets if len(s) >= LEAST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text


def settings_without_secrets(value: Any, key: str = "") -> Any:
    """A configuration with values of secret keys and users of addresses replaced."""
    if _SECRET_KEY.search(key.lower()) and value is not None and not isinstance(value, bool | int | float):
        return REDACTED
    if isinstance(value, Mapping):
        return {name: settings_without_secrets(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [settings_without_secrets(inner, key) for inner in value]
    return _without_user(value) if isinstance(value, str) and "://" in value else value


def engine_log(lines: Iterable[str]) -> Iterator[str]:
    """An engine's log: its start word for word, when it has seen no request yet; later lines without their text.

    What stands before the first start is taken for later lines. Frames of a traceback stay, the message of its
    exception does not.
    """
    starting = False
    for line in lines:
        if _BEGINS.search(line):
            starting = True
        found = _LINE.match(line)
        if starting or _FRAME.match(line):
            yield line
        elif found is not None:
            yield f"{found['head']} {REDACTED}"
        if _READY in line:
            starting = False


def _without_user(address: str) -> str:
    try:
        parts = urlsplit(address)
        if parts.username is None and parts.password is None and not parts.query:
            return address
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return REDACTED
    return f"{parts.scheme}://{REDACTED}@{host}{port}{parts.path}"
