"""What a pack knows of the gateway processes that send it calls. Pure: `now_s` is on one monotonic clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from appliance.domain.engine import EngineStatus
from appliance.domain.fleet import DemandEvent
from appliance.packs.document import Report, Wish
from appliance.packs.load import Load
from appliance.packs.shares import Places

FORGET_AFTER_S = 5.0
"""A process that was not heard of for so long sends no calls any more: its connections are gone, or it is stopped."""


@dataclass(slots=True)
class _Source:
    heard_s: float
    version: int = 0
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    wanted: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Sources:
    """Their shares of each engine's places, and what they want together."""

    _sources: dict[str, _Source] = field(default_factory=dict)
    _places: dict[str, Places] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Those that are there."""
        return frozenset(self._sources)

    def seen(self, name: str, now_s: float) -> None:
        """It has asked."""
        self._sources.setdefault(name, _Source(now_s)).heard_s = now_s

    def heard(self, report: Report, now_s: float, *, mine: bool) -> tuple[DemandEvent, ...]:
        """What it has told, and what all of them want now of the models that it told of.

        `mine`: the document that it goes by is of this process.
        """
        self.seen(report.source, now_s)
        source = self._sources[report.source]
        source.version = report.version if mine else 0
        models = source.wishes.keys() | report.wishes.keys()
        source.wishes, source.in_flight, source.wanted = report.wishes, report.in_flight, report.wanted
        for engine_id, places in self._places.items():
            if report.source in places.holders:
                in_flight, wanted = report.in_flight.get(engine_id, 0), report.wanted.get(engine_id, 0)
                places.heard(report.source, source.version, in_flight, wanted)
        return self._wanted(models, now_s)

    def load(self, engines: Iterable[EngineStatus]) -> Load:
        """Of all of them together."""
        in_flight: Counter[str] = Counter()
        waiting: Counter[str] = Counter()
        models = {engine.engine_id: engine.model_id for engine in engines}
        for source in self._sources.values():
            in_flight.update(source.in_flight)
            for engine_id, wanted in source.wanted.items():
                if engine_id in models:
                    waiting[models[engine_id]] += max(0, wanted - source.in_flight.get(engine_id, 0))
        return Load(dict(in_flight), dict(waiting))

    def forget(self, now_s: float) -> tuple[DemandEvent, ...]:
        """Drop those that are gone; what the others want of the models that those had to do with."""
        gone = [name for name, source in self._sources.items() if now_s - source.heard_s > FORGET_AFTER_S]
        models = {model for name in gone for model in self._sources.pop(name).wishes}
        return self._wanted(models, now_s)

    def divide(self, engines: Iterable[EngineStatus], version: int) -> bool:
        """Divide the places of `engines` anew, for document `version`; True when a share has changed."""
        known, self._places = self._places, {}
        changed = False
        for engine in engines:
            places = known.get(engine.engine_id) or Places(engine.max_num_seqs)
            places.places = engine.max_num_seqs
            changed |= places.divide(self.names, version)
            self._places[engine.engine_id] = places
        return changed

    def with_shares(self, engine: EngineStatus, source: str) -> EngineStatus:
        """The engine as one of them is to see it."""
        return replace(engine, max_num_seqs=self._places[engine.engine_id].share(source))

    def confirmed(self, version: int) -> bool:
        """Whether all of them go by this document or a later one."""
        return all(source.version >= version for source in self._sources.values())

    def _wanted(self, models: Iterable[str], now_s: float) -> tuple[DemandEvent, ...]:
        return tuple(
            DemandEvent(
                model,
                sum(source.wishes.get(model, Wish()).waiting for source in self._sources.values()),
                now_s,
                sum(source.wishes.get(model, Wish()).in_flight for source in self._sources.values()),
            )
            for model in sorted(models)
        )
