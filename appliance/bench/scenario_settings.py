"""The YAML file of a scenario, key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from appliance.bench.lengths import Lengths
from appliance.bench.objective import objectives
from appliance.config.section import Section
from appliance.domain.identifier import Identifier
from appliance.domain.request import Effort

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
