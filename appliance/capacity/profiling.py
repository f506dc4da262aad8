"""Learns what engines cost by putting a few loads on them, one after the other, through the gateway.

How letters become tokens, and what tokens take of the API servers; for each engine the designed loads and the fit;
then, for engines that share a device, loads on several of them at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any, Final, Protocol

from appliance.bench.connection import Target
from appliance.bench.dialogue import Dialogue, Dialogues, OpenPhase, Phase
from appliance.bench.driver import drive
from appliance.bench.records import RequestRecord
from appliance.capacity.alone import Sent, Times
from appliance.capacity.design import Load, loads
from appliance.capacity.engine_profile import EngineProfile, Source
from appliance.capacity.fitting import Observation, fit
from appliance.capacity.prompts import PROBES, Tokens, letters, tokens_of
from appliance.capacity.together import Together, share_of_device
from appliance.errors import EngineUnavailable

APART_S: Final = 0.0005
"""Between calls that are sent together: a burst would measure the sender."""
PROCESSOR: Final = "cpu"
"""The device of engines without a GPU. Their API servers compute there too."""
_EVERY_TOKEN: Final = {"ignore_eos": True, "skip_special_tokens": False}
"""Answers are as long as asked for, and each token of them is seen."""
_TOGETHER = (Load(16, 64, 1), Load(16, 64, 2), Load(16, 64, 4))
"""What each of several engines on one device gets at once, one time after the other."""
_SHORT: Final = Load(16, 1, 16)
_STREAMED: Final = Load(16, 96, 4)
"""What an API server does for calls without and with tokens."""
_TIMES: Final = 2


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: loads, how often each, and seconds after which an engine's loads are not repeated.

    What was done so many seconds ago, `settles_s`, is among what the API servers are said to have computed.
    """

    loads: int = 28
    repeats: int = 3
    engine_s: float = 300.0
    seed: int = 0
    settles_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Subject:
    """An engine as far as it is known: of its profile all but what is to be measured. `device` is what it runs on.

    `fields` of the request are what its role asks for and plain calls don't. Its steps are computed by `threads`, which
    tells what one of a server is on the same processors.
    """

    engine: EngineProfile
    device: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call of a load."""

    model_id: str
    letters: int
    completion_tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class _Asks:
    """As the load generator takes them."""

    asks: Sequence[_Ask]
    fields: Mapping[str, Mapping[str, Any]]

    def dialogue(self, index: int) -> Dialogue:
        """The one of this number."""
        ask = self.asks[index]
        message = {"role": "user", "content": letters(ask.letters, ask.seed)}
        own = self.fields.get(ask.model_id, {})
        fields = {"max_tokens": ask.completion_tokens, "temperature": 0, **_EVERY_TOKEN, **own}
        return Dialogue("profile", ask.model_id, ((message,),), fields=fields)


@dataclass(frozen=True, slots=True)
class _Used:
    """Processor seconds of each model's API server, as far as they are known, within `passed_s`."""

    seconds: Mapping[str, float]
    passed_s: float

    def of(self, model_id: str) -> float:
        """Those of one model; 0 where they are not known."""
        return self.seconds.get(model_id, 0.0)


class Drive(Protocol):
    """`appliance.bench.driver.drive`."""

    async def __call__(
        self, target: Target, phases: Sequence[Phase], dialogues: Dialogues
    ) -> tuple[RequestRecord, ...]:
        """Put a load on a server."""


@dataclass(slots=True)
class Profiler:
    """Measures the engines behind one door. `tell` hears how far it is; `trace_s` says how long a trace's request took,
    and `server_cpu_s` how long each model's API server has computed, as far as that is known.

    What a caller waits beside that is the door's: `door_s` is its median over all calls so far that were alone.
    """

    target: Target
    effort: Effort
    tell: Callable[[str], None]
    trace_s: Callable[[str], float | None]
    server_cpu_s: Callable[[], Mapping[str, float]]
    put_on: Drive = drive
    _seeds: count[int] = field(default_factory=lambda: count(1))
    _tokens: dict[str, Tokens] = field(default_factory=dict)
    _fields: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _door_s: list[float] = field(default_factory=list)

    @property
    def door_s(self) -> float:
        """Seconds between a caller and the coordinator, both ways."""
        ordered = sorted(self._door_s)
        return ordered[len(ordered) // 2] if ordered else 0.0

    async def profiles(self, subjects: Sequence[Subject]) -> tuple[EngineProfile, ...]:
        """The engines, measured. Raises EngineUnavailable where one does not answer."""
        self._fields |= {subject.engine.model_id: subject.fields for subject in subjects}
        models = [subject.engine.model_id for subject in subjects]
        self._tokens |= {model_id: tokens_of(await self._counted(model_id)) for model_id in models}
        token_s = await self._server_tokens(models)
        engines = [replace(subject.engine, server_token_s=token_s[subject.engine.model_id]) for subject in subjects]
        seen = await self._observations(engines)
        found = [_learnt(engine, seen[engine.model_id]) for engine in engines]
        door_s = self.door_s
        found = [_without(engine, door_s) for engine in found]
        devices: dict[str, list[int]] = {}
        for place, subject in enumerate(subjects):
            devices.setdefault(subject.device, []).append(place)
        for device, places in devices.items():
            if len(places) > 1:
                threads = max(subjects[place].threads for place in places) if device == PROCESSOR else 0
                share = await self._share([found[place] for place in places], door_s, threads)
                for place in places:
                    found[place] = _sharing(found[place], share, threads)
        return tuple(found)

    async def _observations(self, engines: Sequence[EngineProfile]) -> Mapping[str, Sequence[Observation]]:
        """Of all loads of all engines, each load `repeats` times where there is time for that.

        Every engine has its turn in each round: a machine that is faster for a while is so for all of them.
        """
        found: dict[str, list[Observation]] = {engine.model_id: [] for engine in engines}
        spent_s = dict.fromkeys(found, 0.0)
        for repeat in range(self.effort.repeats):
            for engine in engines:
                model_id = engine.model_id
                if spent_s[model_id] > self.effort.engine_s * repeat / (repeat + 1):
                    continue  # another time round would go beyond the limit
                began_s = time.monotonic()
                found[model_id] += await self._round(engine, repeat)
                spent_s[model_id] += time.monotonic() - began_s
        return found

    async def _round(self, engine: EngineProfile, repeat: int) -> Sequence[Observation]:
        """All loads of one engine, in mixed order."""
        order, found = list(loads(engine, self.effort.loads)), []
        Random(self.effort.seed + repeat).shuffle(order)
        for number, load in enumerate(order, 1):
            self.tell(f"{engine.model_id}: load {number} of {len(order)}, time {repeat + 1}")
            found.append(_observed(await self._sent([(engine.model_id, load)])))
        return found

    async def _counted(self, model_id: str) -> tuple[int, int]:
        short, long = [_Ask(model_id, many, 1, next(self._seeds)) for many in PROBES]
        records = await self._driven([short]), await self._driven([long])
        first, second = (each[0].prompt_tokens or 0 for each in records)
        return first, second

    async def _sent(self, together: Sequence[tuple[str, Load]]) -> tuple[RequestRecord, ...]:
        """Several loads at once."""
        asks = [
            _Ask(model_id, self._tokens[model_id].letters_for(load.prompt_tokens), load.completion_tokens, seed)
            for model_id, load in together
            for _, seed in zip(range(load.at_once), self._seeds, strict=False)
        ]
        return await self._driven(asks)

    async def _driven(self, asks: Sequence[_Ask]) -> tuple[RequestRecord, ...]:
        dues_s = tuple(number * APART_S for number in range(len(asks)))
        records = await self.put_on(
            self.target, [OpenPhase("load", 0.0, dues_s[-1], dues_s)], _Asks(asks, self._fields)
        )
        for record in records:
            if not record.ok or record.prompt_tokens is None or record.completion_tokens is None:
                raise EngineUnavailable(
                    f"{record.model} could not be measured: {record.error or 'it does not tell its usage'}; "
                    "see `appliance status`"
                )
        if len(records) == 1:  # of several at once most would be their queue, which is not the door's
            self._note_door(records[0])
        return records

    def _note_door(self, record: RequestRecord) -> None:
        inside_s = self.trace_s(record.trace_id)
        if inside_s is not None:
            self._door_s.append(max(0.0, record.ended_s - (record.sent_s or record.begun_s) - inside_s))

    async def _server_tokens(self, models: Sequence[str]) -> Mapping[str, float]:
        """Seconds of each API server for a token: what it computes during calls of many, less that of calls of one."""
        idle = await self._server_used(())
        short = await self._server_used([(model_id, _SHORT) for model_id in models])
        streamed = await self._server_used([(model_id, _STREAMED) for model_id in models])
        calls = _TIMES * _STREAMED.at_once
        found = {}
        for model_id in models:
            idle_part = idle.of(model_id) / idle.passed_s
            short_s = short.of(model_id) - idle_part * short.passed_s
            streamed_s = streamed.of(model_id) - idle_part * streamed.passed_s
            tokens_s = streamed_s - short_s * calls / (_TIMES * _SHORT.at_once)
            found[model_id] = max(0.0, tokens_s / (calls * (_STREAMED.completion_tokens - 1)))
        return found

    async def _server_used(self, loads: Sequence[tuple[str, Load]]) -> _Used:
        """What the API servers compute while each of these loads is sent a few times, one after the other."""
        before_s, began_s = self.server_cpu_s(), time.monotonic()
        for model_id, load in loads:
            self.tell(f"{model_id}: what its API server does")
            for _ in range(_TIMES):
                await self._sent([(model_id, load)])
        await asyncio.sleep(self.effort.settles_s)
        after_s = self.server_cpu_s()
        used_s = {model_id: after_s[model_id] - before_s[model_id] for model_id in before_s.keys() & after_s.keys()}
        return _Used(used_s, time.monotonic() - began_s)

    async def _share(self, engines: Sequence[EngineProfile], door_s: float, threads: int) -> float:
        """How much of their device each wants, from what several at once take."""
        seen = []
        groups = [tuple(engines), *((a, b) for a, b in zip(engines, (*engines[1:], engines[0]), strict=True))]
        for load in _TOGETHER:
            for group in groups:
                self.tell(f"{len(group)} engines at once")
                records = await self._sent([(engine.model_id, load) for engine in group])
                seen.append(_together(group, records, door_s))
        return share_of_device(seen, lambda engine, share: _sharing(engine, share, threads))


def _learnt(engine: EngineProfile, seen: Sequence[Observation]) -> EngineProfile:
    """The engine with the costs that its observations tell."""
    learnt = fit(engine, seen)
    return replace(engine, step=learnt.step, call_s=learnt.call_s, server_s=learnt.server_s, source=Source.MEASURED)


def _sharing(engine: EngineProfile, share: float, threads: int) -> EngineProfile:
    """The engine with its share of a device; with so many threads of it, and one of its API server, on processors."""
    return replace(engine, device_share=share, server_share=share / threads if threads else 0.0)


def _without(engine: EngineProfile, door_s: float) -> EngineProfile:
    """The engine without the door's part of what a call takes beside its steps."""
    call_s = engine.call_s - door_s
    return replace(engine, call_s=max(0.0, call_s), server_s=max(0.0, engine.server_s + min(0.0, call_s)))


def _observed(records: Sequence[RequestRecord]) -> Observation:
    return Observation(tuple(map(_sent_of, records)), tuple(map(_times_of, records)))


def _sent_of(record: RequestRecord) -> Sent:
    at_s = record.begun_s if record.sent_s is None else record.sent_s
    return Sent(at_s, record.prompt_tokens or 1, record.completion_tokens or 1)


def _times_of(record: RequestRecord) -> Times:
    at_s = record.begun_s if record.sent_s is None else record.sent_s
    first_s = record.ended_s if record.first_event_s is None else record.first_event_s
    return Times(first_s - at_s, record.ended_s - at_s)


def _together(engines: Sequence[EngineProfile], records: Sequence[RequestRecord], door_s: float) -> Together:
    """As measured."""
    places = {engine.model_id: place for place, engine in enumerate(engines)}
    sent = tuple((places[record.model], _sent_of(record)) for record in records)
    by_themselves = tuple(replace(engine, call_s=engine.call_s + door_s) for engine in engines)
    return Together(by_themselves, sent, tuple(_times_of(record).whole_s for record in records))
