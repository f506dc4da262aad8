"""Opens this process's audit chain, and makes its key where there is none."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from appliance.config import Settings
from appliance.config.secret_file import make_secret_file
from appliance.domain.audit import Act, Audit
from appliance.errors import ConfigError
from appliance.ledger.audit_file import AuditFile
from appliance.ledger.audit_log import NO_AUDIT, AuditLog

COMMAND_LINE: Final = 100
"""Chains from this number on are of those who are no worker."""

_LEAST_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class OpenAudit:
    """This process's chain, and the last records that were in it before."""

    audit: Audit
    left: tuple[bytes, ...] = ()


def open_audit(
    settings: Settings, held: ExitStack, on_failure: Callable[[], None] = lambda: None, *, worker: int = COMMAND_LINE
) -> OpenAudit:
    """`held` closes it; `on_failure` hears of each write that failed.

    A worker goes on with the chain of its number, where its journal is its own too: what the journal knows of a request
    is in the ledger before the chain is asked. Raises ConfigError and LedgerError.
    """
    said = settings.ledger.audit
    if said.mode == "off":
        return OpenAudit(NO_AUDIT)
    key = read_or_make_key(settings.below_data_dir(said.key_file))
    place = AuditFile(
        settings.below_data_dir(said.directory), settings.below_data_dir(said.heads), key, said.segment_bytes, worker
    )
    left = place.left()
    log = AuditLog(
        place,
        key,
        required=said.mode == "required",
        sync=said.sync,
        version=version("appliance"),
        pid=os.getpid(),
        on_failure=on_failure,
    )
    held.callback(log.close)
    return OpenAudit(log, left)


def record_act(settings: Settings, act: Act) -> None:
    """Record what an administrator does on the command line, before it is done.

    Raises AuditFailed where that is required and can't be done, ConfigError and LedgerError.
    """

    async def recorded() -> None:
        with ExitStack() as held:
            await open_audit(settings, held).audit.act(act)

    asyncio.run(recorded())


def read_or_make_key(file: Path) -> bytes:
    """The chains' key. Several processes may start at once: one makes it, all have the same. Raises ConfigError."""
    try:
        if not file.exists():
            make_secret_file(file, secrets.token_hex(_LEAST_KEY_BYTES))
    except OSError as error:
        raise ConfigError(f"ledger.audit.key_file: {file} can't be made ({error.strerror})") from None
    return read_key(file)


def read_key(file: Path) -> bytes:
    """The key of the file. Raises ConfigError."""
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except OSError as error:
        raise ConfigError(f"ledger.audit.key_file: {file} can't be read ({error.strerror})") from None
    except ValueError:
        raise ConfigError(f"ledger.audit.key_file: {file}: not hexadecimal") from None
    if len(key) < _LEAST_KEY_BYTES:
        raise ConfigError(f"ledger.audit.key_file: {file}: shorter than {_LEAST_KEY_BYTES} bytes")
    return key
