"""A scenario: phases with arrivals, a mix of requests, and what is expected, read with all the files that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from appliance.bench.lengths import Lengths, text
from appliance.bench.mix import Generated, Given, Kind, Mix
from appliance.bench.objective import Objective, objectives
from appliance.bench.scenario_settings import KindSettings, Prefix, Replay, ScenarioSettings
from appliance.config import describe
from appliance.config.json_lines import json_lines
from appliance.config.yaml_file import read_mapping
from appliance.errors import ConfigError


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
