"""What the main process hands to a worker: a line of JSON on its standard input, which nobody else can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from appliance.config import Settings
from appliance.domain.engine import Device
from appliance.domain.gpu import Card


@dataclass(frozen=True, slots=True)
class WorkerMessage:
    """Worker `number` of `workers` answers at `server.host` and `port`, which it shares with the others.

    `door` and `key` are the main process'; `salt_hex` is the secret that all workers share. `settings` are the main
    process' own, `source` the file that they came from; `device` and `cards` are those of the engines.
    """

    number: int
    workers: int
    port: int
    door: str
    key: str
    salt_hex: str
    log_to_stderr: bool
    device: Device
    cards: Mapping[str, Card]
    source: str
    settings: Settings

    def line(self) -> bytes:
        """As it is sent."""
        return _MESSAGE.dump_json(self) + b"\n"


_MESSAGE = TypeAdapter(WorkerMessage)


def read_message(line: bytes) -> WorkerMessage:
    """As it arrives."""
    message = _MESSAGE.validate_json(line)
    return replace(message, settings=message.settings.said_by(message.source))
