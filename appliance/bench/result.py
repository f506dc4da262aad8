"""A run on disk: `result.json` with what was done, where, and the figures; `records.jsonl` with every request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from appliance.bench.dialogue import OpenPhase, Phase
from appliance.bench.metrics import Figures, figures
from appliance.bench.objective import Objective, objectives
from appliance.bench.records import RequestRecord, read_records, write_records
from appliance.config import describe
from appliance.errors import ConfigError

RESULT: Final = "result.json"
RECORDS: Final = "records.jsonl"
EVERYTHING: Final = ""
"""All phases that count, or all kinds of requests."""
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Span:
    """A phase: seconds from the begin of the run, and what was offered: requests a second, or callers."""

    name: str
    begins_s: float
    ends_s: float
    counts: bool
    offered_per_s: float | None = None
    users: int | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What was done, and where. `check` is the generator's own check; None where it was left out.

    `objectives` are bounds by figure, of each kind that has its own and of all under an empty name.
    """

    scenario: str
    digest: str
    seed: int
    run_id: str
    url: str
    began: str
    processes: int
    machine: Mapping[str, Any]
    phases: tuple[Span, ...]
    kinds: tuple[str, ...]
    objectives: Mapping[str, Mapping[str, float]]
    stopped: str = ""
    source: str = ""
    description: str = ""
    check: Mapping[str, Any] | None = None
    format: int = _FORMAT


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one phase and one kind; EVERYTHING stands for all of them."""

    phase: str
    kind: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Result:
    """A run. `trees` are documents by kind, of the phases that count."""

    header: Header
    records: tuple[RequestRecord, ...]
    trees: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counting(self) -> tuple[RequestRecord, ...]:
        """Requests of the phases that count."""
        names = {span.name for span in self.header.phases if span.counts}
        return tuple(record for record in self.ended if record.phase in names)

    @property
    def ended(self) -> tuple[RequestRecord, ...]:
        """All but those that were broken off because the run was stopped: these say nothing of the server."""
        return tuple(record for record in self.records if not (record.error and record.error == self.header.stopped))

    def objectives_of(self, kind: str) -> tuple[Objective, ...]:
        """Of one kind, or of all."""
        said = self.header.objectives
        return objectives(said.get(kind, said.get(EVERYTHING, {})))

    def rows(self) -> Iterator[Row]:
        """The whole run, then phase by phase; where there are several kinds, each by itself below all of them."""
        by_phase = [(EVERYTHING, self.counting)]
        by_phase += [(s.name, tuple(r for r in self.ended if r.phase == s.name)) for s in self.header.phases]
        kinds = self.header.kinds if len(self.header.kinds) > 1 else ()
        for phase, records in by_phase:
            for kind in (EVERYTHING, *kinds):
                own = [record for record in records if kind in (EVERYTHING, record.kind)]
                yield Row(phase, kind, figures(own, self.objectives_of(kind)))

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"phase": row.phase, "kind": row.kind, **row.figures.as_document()} for row in self.rows()]
        header = _HEADER.dump_python(self.header, mode="json")
        return {**header, "records": RECORDS, "figures": rows, "trees": dict(self.trees)}


_HEADER = TypeAdapter(Header)


def span_of(phase: Phase) -> Span:
    """What is kept of a phase."""
    if isinstance(phase, OpenPhase):
        offered = len(phase.dues_s) / (phase.ends_s - phase.begins_s)
        return Span(phase.name, phase.begins_s, phase.ends_s, phase.counts, round(offered, 6))
    return Span(phase.name, phase.begins_s, phase.ends_s, phase.counts, users=phase.users)


def write_result(directory: Path, result: Result) -> Path:
    """Both files; the one that is named is written last. Raises ConfigError where they can't be."""
    file = directory / RESULT
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_records(directory / RECORDS, result.records)
        document = orjson.dumps(result.as_document(), option=orjson.OPT_INDENT_2)
        draft = file.with_suffix(".draft")
        draft.write_bytes(document + b"\n")
        draft.replace(file)
    except OSError as error:
        raise ConfigError(f"{directory}: the result can't be written there: {error}") from None
    return file


def read_result(path: Path) -> Result:
    """A run by its directory or its `result.json`. Raises ConfigError."""
    file = path / RESULT if path.is_dir() else path
    try:
        document = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: no result can be read there: {error}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ConfigError(f"{file}: no result of format {_FORMAT}; make one with `appliance bench run`")
    fields = {name: document[name] for name in Header.__slots__ if name in document}
    try:
        header = _HEADER.validate_python(fields)
    except ValidationError as error:
        raise ConfigError(f"{file}: {describe(error)}") from None
    return Result(header, read_records(file.with_name(RECORDS)), document.get("trees") or {})
