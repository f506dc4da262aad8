"""A scenario: phases with arrivals, a mix of requests, and what is expected, in a YAML file."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import orjson
from pydantic import Field, ValidationError, field_validator, model_validator

from appliance.bench.lengths import Lengths, text
from appliance.bench.mix import Generated, Given, Kind, Mix
from appliance.bench.objective import Objective, objectives
from appliance.config import describe
from appliance.config.json_lines import json_lines
from appliance.config.section import Section
from appliance.config.yaml_file import read_mapping
from appliance.domain.identifier import Identifier
from appliance.domain.request import Effort
from appliance.errors import ConfigError

Rate = Annotated[float, Field(gt=0, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0, le=7 * 86_400)]


class Constant(Section):
    """At equal distances."""

    process: Literal["constant"]
    rate: Rate
    """Requests a second."""
    until: Annotated[float, Field(ge=0)] | None = None
    """The rate at the end of the phase, which it reaches in a straight line: a ramp."""


class Poisson(Section):
    """Independent of each other."""

    process: Literal["poisson"]
    rate: Rate
    until: Annotated[float, Field(ge=0)] | None = None


class Gamma(Section):
    """In bursts, or more evenly than by chance."""

    process: Literal["gamma"]
    rate: Rate
    until: Annotated[float, Field(ge=0)] | None = None
    burstiness: Annotated[float, Field(ge=0.01, le=100)]
    """Shape of the gaps' distribution: below 1 in bursts, 1 is Poisson."""


class Replay(Section):
    """At recorded times."""

    process: Literal["replay"]
    file: Path
    """One number a line, or JSON lines with `timestamp`; relative to the scenario."""
    unit: Literal["s", "ms"] = "s"
    speed: Rate = 1.0


class Closed(Section):
    """A fixed number of callers who wait for their answers."""

    process: Literal["closed"]
    users: Annotated[int, Field(ge=1, le=100_000)]
    think_s: Seconds = 0.0


Arrivals = Annotated[Constant | Poisson | Gamma | Replay | Closed, Field(discriminator="process")]


class PhaseSettings(Section):
    """A stretch of the run."""

    name: Identifier
    purpose: Literal["warm_up", "ramp", "steady"] = "steady"
    """Only steady phases count in the figures of the whole run; all have figures of their own."""
    duration_s: Annotated[float, Field(gt=0, le=7 * 86_400)]
    arrivals: Arrivals
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] | None = None
    """A sweep: one phase for each, named `NAME@RATE`, instead of the arrivals' own rate."""
    pause_s: Seconds = 0.0
    """Nothing is sent for so long afterwards, so that the next phase begins with an idle server."""

    @model_validator(mode="after")
    def _sweeps_rates(self) -> Self:
        if self.rates is not None and isinstance(self.arrivals, Replay | Closed):
            raise ValueError(f"rates: arrivals of the process {self.arrivals.process} have no rate to vary")
        return self


class Prompts(Section):
    """What is asked: texts of a file, or generated ones; exactly one of `file` and `tokens`."""

    file: Path | None = None
    """JSON lines, for example those of a suite; relative to the scenario."""
    column: str = "question"
    where: dict[str, Any] = Field(default_factory=dict)
    """Only lines with these values; one of several where a list is given."""
    tokens: Lengths | None = None
    tokens_per_word: Annotated[float, Field(gt=0)] = 1.3
    """How many tokens of the model a word of plain English takes."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.tokens is None):
            raise ValueError("exactly one of file and tokens is needed")
        return self


class Prefix(Section):
    """System texts that many requests share."""

    tokens: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=1)] = 1
    """So many different ones."""
    tokens_per_word: Annotated[float, Field(gt=0)] = 1.3


class KindSettings(Section):
    """One kind of request."""

    name: Identifier
    weight: Annotated[float, Field(gt=0)] = 1.0
    model: str = "auto"
    strategy: str | None = None
    effort: Effort | None = None
    max_tokens: Annotated[int, Field(ge=1)] | Lengths | None = None
    stream: bool = True
    fields: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request's body, such as temperature or ignore_eos."""
    prompts: Prompts
    turns: Annotated[int, Field(ge=1, le=1_000)] = 1
    think_s: Seconds = 0.0
    """Between an answer and the next turn."""
    prefix: Prefix | None = None
    slo: dict[str, float] | None = None
    """Objectives of this kind instead of the scenario's."""

    @field_validator("slo")
    @classmethod
    def _known(cls, slo: dict[str, float] | None) -> dict[str, float] | None:
        if slo is not None:
            objectives(slo)
        return slo


class ErrorBudget(Section):
    """The run is stopped when more than `share` of the requests that are over had no answer, `after` so many."""

    share: Annotated[float, Field(ge=0, le=1)]
    after: Annotated[int, Field(ge=1)] = 20


class LimitSettings(Section):
    """What takes too long."""

    request_s: Annotated[float, Field(gt=0)] = 600.0
    grace_s: Seconds = 60.0
    """For what is under way when the last phase ends."""


class ScenarioSettings(Section):
    """The YAML file."""

    version: Literal[1] = 1
    name: Identifier
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    phases: Annotated[tuple[PhaseSettings, ...], Field(min_length=1)]
    mix: Annotated[tuple[KindSettings, ...], Field(min_length=1)]
    slo: dict[str, float] = Field(default_factory=dict)
    error_budget: ErrorBudget | None = None
    limits: LimitSettings = Field(default_factory=LimitSettings)

    @field_validator("slo")
    @classmethod
    def _known(cls, slo: dict[str, float]) -> dict[str, float]:
        objectives(slo)
        return slo

    @model_validator(mode="after")
    def _no_name_twice(self) -> Self:
        for part, names in (("phases", [p.name for p in self.phases]), ("mix", [kind.name for kind in self.mix])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{part}: the name {twice} stands twice")
        return self


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario with what its files hold. `digest` changes with anything that is sent."""

    settings: ScenarioSettings
    source: str
    digest: str
    texts: Mapping[str, tuple[str, ...]]
    """Of each kind that asks texts of a file."""
    timestamps_s: Mapping[str, tuple[float, ...]]
    """Of each phase that replays a file."""

    @property
    def models(self) -> tuple[str, ...]:
        """Models that are asked."""
        return tuple(dict.fromkeys(kind.model for kind in self.settings.mix))

    def mix(self, virtual_models: Collection[str], seed: int | None = None) -> Mix:
        """Where its dialogues come from; `virtual_models` are answered by a coordinator."""
        seed = self.settings.seed if seed is None else seed
        return Mix([self._kind(kind, virtual_models, seed) for kind in self.settings.mix], seed)

    def objectives_of(self, kind: str) -> tuple[Objective, ...]:
        """Of one kind; of all requests together where it is empty."""
        own = next((k.slo for k in self.settings.mix if k.name == kind), None)
        return objectives(self.settings.slo if own is None else own)

    def _kind(self, kind: KindSettings, virtual_models: Collection[str], seed: int) -> Kind:
        fields = dict(kind.fields)
        fields |= {name: value for name, value in (("strategy", kind.strategy), ("effort", kind.effort)) if value}
        tokens = kind.prompts.tokens
        most = Lengths(mean=kind.max_tokens) if isinstance(kind.max_tokens, int) else kind.max_tokens
        return Kind(
            kind.name,
            kind.weight,
            kind.model,
            Given(self.texts[kind.name]) if tokens is None else Generated(tokens, kind.prompts.tokens_per_word),
            kind.model in virtual_models,
            fields,
            most,
            kind.stream,
            kind.turns,
            kind.think_s,
            _prefixes(kind.prefix, seed),
        )


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario and the files that it names. Raises ConfigError, naming file and key."""
    document = read_mapping(
        path,
        when_missing="name the YAML file of a scenario; there are some in benchmarks/scenarios/",
        expected="a mapping with name, phases and mix; see docs/benchmarking.md",
    )
    try:
        settings = ScenarioSettings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error)}") from None
    texts = {kind.name: _texts(path, kind) for kind in settings.mix if kind.prompts.file is not None}
    replays = {phase.name: phase.arrivals for phase in settings.phases if isinstance(phase.arrivals, Replay)}
    timestamps_s = {name: _timestamps(path.parent / replay.file, replay.unit) for name, replay in replays.items()}
    return Scenario(settings, str(path), _digest(settings, texts, timestamps_s), texts, timestamps_s)


def _texts(path: Path, kind: KindSettings) -> tuple[str, ...]:
    prompts = kind.prompts
    assert prompts.file is not None
    file, found = path.parent / prompts.file, []
    for number, row in json_lines(file):
        if not all(_fits(row.get(name), wanted) for name, wanted in prompts.where.items()):
            continue
        value = row.get(prompts.column)
        if not isinstance(value, str) or not value:
            raise ConfigError(
                f"{file}: line {number}: no text under {prompts.column!r}; name the right one under "
                f"mix.{kind.name}.prompts.column of {path}"
            )
        found.append(value)
    if not found:
        raise ConfigError(f"{path}: mix.{kind.name}.prompts: no line of {file} has {prompts.where or 'a text'}")
    return tuple(found)


def _fits(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _timestamps(file: Path, unit: str) -> tuple[float, ...]:
    scale = 1.0 if unit == "s" else 0.001
    if file.suffix == ".jsonl":
        rows = [(number, row.get("timestamp")) for number, row in json_lines(file)]
    else:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: can't be read: {error}") from None
        rows = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    found = []
    for number, value in rows:
        try:
            found.append(float(value) * scale)  # type: ignore[arg-type]  # what is no number is refused below
        except (TypeError, ValueError):
            raise ConfigError(f"{file}: line {number}: {value!r} is no time; a line is a number of {unit}") from None
    if not found:
        raise ConfigError(f"{file}: holds no times; a line is a number of {unit}")
    return tuple(found)


def _prefixes(prefix: Prefix | None, seed: int) -> tuple[str, ...]:
    if prefix is None:
        return ()
    chances = (np.random.default_rng((seed, prefix.tokens, number)) for number in range(prefix.count))
    return tuple(text(prefix.tokens, chance, tokens_per_word=prefix.tokens_per_word) for chance in chances)


def _digest(settings: ScenarioSettings, *files: Mapping[str, tuple[Any, ...]]) -> str:
    document = [settings.model_dump(mode="json", exclude={"description", "slo"}), *files]
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
