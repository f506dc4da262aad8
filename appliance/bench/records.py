"""What is known of each request of a run, and the file of it: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from appliance.errors import ConfigError

OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request. Times are seconds from the begin of the run, on the caller's clock.

    `due_s` is when it was to be sent, whatever else went on; `begun_s` when the generator came to it, `sent_s` when it
    was written to a connection. `first_event_s` is the first piece of working or answer, `first_content_s` and
    `last_content_s` are pieces of the answer; `gaps_s` lie between those. `error` is empty where there is an answer.
    Tokens are the server's own count, of all calls below the request; None where it did not say. `calls`, `gpu_s` and
    `strategy` are the appliance's. `orchestrated`: the coordinator chose how to answer.
    """

    index: int
    turn: int
    phase: str
    kind: str
    model: str
    orchestrated: bool
    request_id: str
    due_s: float
    begun_s: float
    ended_s: float
    sent_s: float | None = None
    first_byte_s: float | None = None
    first_event_s: float | None = None
    first_content_s: float | None = None
    last_content_s: float | None = None
    status: int = 0
    error: str = ""
    chunks: int = 0
    gaps_s: tuple[float, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    trace_id: str = ""
    strategy: str = ""
    calls: int | None = None
    gpu_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return not self.error

    @property
    def lag_s(self) -> float:
        """How late the generator itself was."""
        return self.begun_s - self.due_s

    @property
    def e2e_s(self) -> float:
        """From when it was due to the end of its answer."""
        return self.ended_s - self.due_s

    @property
    def ttft_s(self) -> float | None:
        """Until the first token. What a coordinator tells of its work is no token; a model's own working is."""
        first = self.first_content_s if self.orchestrated else self.first_event_s
        return None if first is None else first - self.due_s

    @property
    def first_role_event_s(self) -> float | None:
        """Until the coordinator told of its work, or answered; None for a model by its name."""
        if not self.orchestrated or self.first_event_s is None:
            return None
        return self.first_event_s - self.due_s

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer that was seen: the server's count, where no other calls are in it."""
        return self.chunks if self.orchestrated or self.completion_tokens is None else self.completion_tokens

    @property
    def itl_s(self) -> float | None:
        """Mean time between two tokens of the answer; others call it time per output token."""
        first = self.first_content_s if self.orchestrated else self.first_event_s
        if first is None or self.last_content_s is None or self.output_tokens < 2:
            return None
        return (self.last_content_s - first) / (self.output_tokens - 1)


_RECORD = TypeAdapter(RequestRecord)
_DEFAULTS = {field.name: field.default for field in fields(RequestRecord)}


def write_records(path: Path, records: Iterable[RequestRecord]) -> None:
    """One line each; what is as its default is left out."""
    with path.open("wb") as file:
        for record in records:
            said = {name: getattr(record, name) for name in _DEFAULTS}
            file.write(orjson.dumps({name: _short(v) for name, v in said.items() if v != _DEFAULTS[name]}) + b"\n")


def read_records(path: Path) -> tuple[RequestRecord, ...]:
    """What `write_records` wrote. Raises ConfigError, naming file and line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: the records can't be read: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_RECORD.validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            raise ConfigError(f"{path}: line {number} is no record of a request ({problem['msg']})") from None
    return tuple(found)


def _short(value: object) -> object:
    """Times to the microsecond: more is noise, and the file a third longer."""
    if isinstance(value, float):
        return round(value, 6)
    return [round(gap, 6) for gap in value] if isinstance(value, tuple) else value
