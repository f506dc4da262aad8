"""What a pack's door tells of the pack, and what a gateway tells the pack, as JSON. Pure.

Both come from another process, perhaps of another version during an upgrade: fields that are not known are passed over,
and those that are missing have their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import EngineFigures, PlanNote

Count = Annotated[int, Field(ge=0, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=300)]


@dataclass(frozen=True, slots=True)
class PackDocument:
    """A pack at one moment. `instance` is that of its process, `version` grows with each change for the reader.

    `engines` carry their keys: it is for gateways alone. Their `max_num_seqs` are the reader's share of the places.
    """

    pack: Name
    instance: str
    version: int
    engines: tuple[EngineStatus, ...] = ()
    figures: Mapping[str, EngineFigures] = field(default_factory=dict)
    plan: PlanNote | None = None

    @property
    def tag(self) -> str:
        """Its HTTP entity tag."""
        return f'"{self.instance}-{self.version}"'


@dataclass(frozen=True, slots=True)
class Wish:
    """Of one model: calls that wait for an engine, and calls that are being answered."""

    waiting: Count = 0
    in_flight: Count = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What the gateway process `source` has to do with a pack.

    `instance` and `version` are of the document that it goes by. By engine of the pack: `in_flight` calls, and `wanted`
    ones, those that wait included. `wishes` by model are for models that take turns, or have no engine.
    """

    source: Name
    instance: str = ""
    version: int = 0
    in_flight: Mapping[str, Count] = field(default_factory=dict)
    wanted: Mapping[str, Count] = field(default_factory=dict)
    wishes: Mapping[str, Wish] = field(default_factory=dict)


T = TypeVar("T")
_DOCUMENT = TypeAdapter(PackDocument)
_REPORT = TypeAdapter(Report)


class NotUnderstood(ValueError):
    """What came is not of the form that was expected; the message quotes none of it."""


def document_json(document: PackDocument) -> bytes:
    """As the door sends it."""
    return _DOCUMENT.dump_json(document)


def read_document(body: bytes) -> PackDocument:
    """As a gateway reads it. Raises NotUnderstood."""
    return _read(_DOCUMENT, body)


def report_json(report: Report) -> bytes:
    """As a gateway sends it."""
    return _REPORT.dump_json(report)


def read_report(body: bytes) -> Report:
    """As the door reads it. Raises NotUnderstood."""
    return _read(_REPORT, body)


def _read(adapter: TypeAdapter[T], body: bytes) -> T:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) or "body" for problem in error.errors()[:3])
        raise NotUnderstood(f"not understood: {where}") from None
