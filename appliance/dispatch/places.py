"""Who is on which engine: counts of calls in flight, what each is charged, which engines fail, and who may go where.

Everybody who sends calls to engines takes a place here first and leaves it afterwards, so all ways count alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.dispatch.attained import Attained
from appliance.dispatch.breaker import Breaker, BreakerLimits, BreakerState, Sign
from appliance.dispatch.endpoint_picker import (
    DEFAULT_WEIGHTS,
    Asleep,
    Broken,
    NoEngine,
    Picked,
    PickWeights,
    Sight,
    pick,
)
from appliance.dispatch.gpu_meter import GpuMeter, Receipt
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet, FleetSnapshot
from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import DEFAULT
from appliance.errors import EngineRejected, EngineUnavailable, NotAllowed

_NO_ENGINES: tuple[EngineStatus, ...] = ()
_MOST_ALLOWED = 4_096
_BEYOND_THE_ENGINE = frozenset({502, 503, 504})
"""Statuses that tell of an engine in trouble. A 500 may be what one odd request provokes: a caller who sends it again
and again must not take the engine from all others."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How engines are chosen and given up, as configured."""

    weights: PickWeights = DEFAULT_WEIGHTS
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


class Under(NamedTuple):
    """What a call stands under: the labels of its data, and its tenant's policy by name."""

    labels: frozenset[str] = frozenset()
    policy: str = DEFAULT


def sign_of(error: BaseException | None) -> Sign:
    """What the end of a call says of its engine; None: it went well."""
    if error is None:
        return Sign.WORKS
    if isinstance(error, EngineUnavailable):
        return Sign.FAILS
    if isinstance(error, EngineRejected):
        if error.status in _BEYOND_THE_ENGINE:
            return Sign.FAILS
        return Sign.WORKS if error.status < 429 else Sign.NOTHING
    return Sign.NOTHING


@dataclass(slots=True, eq=False)
class Place:
    """One call on an engine, from when it is sent until `leave`. `receipt` tells what it is charged.

    `request_id` is the request whose service is counted; None for a call that is a request of its own. `trial`: its
    engine's breaker waits for it.
    """

    engine: EngineStatus
    receipt: Receipt
    began_s: float
    _places: Places = field(repr=False)
    request_id: str | None
    trial: bool

    def leave(self, sign: Sign) -> None:
        """The call has ended, whatever way; once."""
        self._places.left(self, sign)


class Places:
    """All places. `on_change` hears of an engine each time a call came to it or has left it.

    `clock` is monotonic, in seconds. One instance belongs to one event loop, and nothing here waits.
    """

    def __init__(
        self,
        fleet: Fleet,
        policy: DataPolicy,
        attained: Attained,
        clock: Callable[[], float],
        manner: Manner,
        on_change: Callable[[EngineStatus, bool], None],
    ) -> None:
        self._fleet = fleet
        self._policy = policy
        self._attained = attained
        self._clock = clock
        self._manner = manner
        self._on_change = on_change
        self._meter = GpuMeter()
        self._breakers: dict[str, tuple[int | None, Breaker]] = {}
        self._indexed: FleetSnapshot | None = None
        self._by_model: dict[str, tuple[EngineStatus, ...]] = {}
        self._allowed_of: dict[tuple[str, Under], Sequence[EngineStatus]] = {}
        self.in_flight: dict[str, int] = {}

    def receipt(self) -> Receipt:
        """For one new call; it may be sent to several engines, one after the other."""
        return self._meter.receipt()

    @property
    def idle(self) -> bool:
        """Nobody is on any engine, and nothing is charged."""
        return not self.in_flight and self._meter.idle

    def serving(self, model_id: str) -> tuple[EngineStatus, ...]:
        """The engines of a model in any state."""
        snapshot = self._fleet.snapshot
        if snapshot is not self._indexed:
            self._by_model = snapshot.by_model()
            self._allowed_of.clear()
            self._indexed = snapshot
        return self._by_model.get(model_id, _NO_ENGINES)

    def find(
        self, model_id: str, under: Under, prefix: int | None, failed: Set[str] = frozenset()
    ) -> Picked | Asleep | NoEngine:
        """The engine for a call now. Raises NotAllowed where no engine of the model may be used for it."""
        serving = self._allowed(model_id, under)
        broken = self._broken(serving) if self._breakers else {}
        sight = Sight(self.in_flight, self._fleet.figures, broken, prefix)
        return pick(model_id, serving, sight, failed, self._manner.weights)

    def take(self, engine: EngineStatus, receipt: Receipt, request_id: str | None = None) -> Place:
        """Send a call there. No await may stand between `find` and this, so that no other call sees the gap."""
        now_s, engine_id = self._clock(), engine.engine_id
        self.in_flight[engine_id] = self.in_flight.get(engine_id, 0) + 1
        if request_id is not None:
            self._attained.begin(request_id, now_s)
        receipt.begin(engine_id, engine.devices, now_s)
        trial = bool(self._breakers) and self._breaker_of(engine).sent(now_s)
        self._on_change(engine, False)
        return Place(engine, receipt, now_s, self, request_id, trial)

    def left(self, place: Place, sign: Sign) -> None:
        """A call has ended."""
        engine, now_s = place.engine, self._clock()
        engine_id = engine.engine_id
        place.receipt.end(now_s)
        well = sign is Sign.WORKS
        if place.request_id is not None:
            self._attained.end(place.request_id, place.began_s, now_s, well=well)
        elif well:
            self._attained.learn(now_s - place.began_s)
        self.in_flight[engine_id] -= 1
        if not self.in_flight[engine_id]:
            del self.in_flight[engine_id]
        if self._breakers or sign is Sign.FAILS:
            self._note(engine, sign, now_s, trial=place.trial)
        self._on_change(engine, True)

    def broken_now(self) -> Mapping[str, BreakerState]:
        """Engine id → state of its breaker, for those whose last call failed."""
        now_s = self._clock()
        return {engine_id: breaker.state(now_s) for engine_id, (_, breaker) in self._breakers.items()}

    def _note(self, engine: EngineStatus, sign: Sign, now_s: float, *, trial: bool) -> None:
        """Tell the breaker. An engine that the supervisor has taken away fails calls, and that says nothing new."""
        if sign is Sign.FAILS and not any(
            e.engine_id == engine.engine_id and e.pid == engine.pid and e.state is EngineState.READY
            for e in self.serving(engine.model_id)
        ):
            sign = Sign.NOTHING
        known = self._breakers.get(engine.engine_id)
        if sign is not Sign.FAILS and (known is None or known[0] != engine.pid):
            return
        breaker = self._breaker_of(engine)
        breaker.ended(sign, now_s, trial=trial)
        if sign is Sign.WORKS:
            del self._breakers[engine.engine_id]

    def _breaker_of(self, engine: EngineStatus) -> Breaker:
        """That of the engine's present process: one that was started anew begins anew."""
        known = self._breakers.get(engine.engine_id)
        if known is None or known[0] != engine.pid:
            known = self._breakers[engine.engine_id] = (engine.pid, Breaker(self._manner.breaker))
        return known[1]

    def _broken(self, serving: Sequence[EngineStatus]) -> Mapping[str, Broken]:
        now_s, broken = self._clock(), {}
        for engine in serving:
            pid, breaker = self._breakers.get(engine.engine_id, (None, None))
            if breaker is None or pid != engine.pid:
                continue
            closed_to = ""
            if breaker.state(now_s) is BreakerState.OPEN:
                again_s = breaker.left_s(now_s)
                closed_to = f"its last {breaker.failures} calls failed; tried again in {again_s:.1f} s"
            broken[engine.engine_id] = Broken(breaker.failures, closed_to, busy=not breaker.has_room(now_s))
        return broken

    def _allowed(self, model_id: str, under: Under) -> Sequence[EngineStatus]:
        """The engines of a model that may be used for the request. Raises NotAllowed where there are others only."""
        engines = self.serving(model_id)
        known = self._allowed_of.get((model_id, under))
        if known is None:
            if len(self._allowed_of) >= _MOST_ALLOWED:
                self._allowed_of.clear()
            known = self._allowed_of[model_id, under] = self._filtered(model_id, under, engines)
        return known

    def _filtered(self, model_id: str, under: Under, engines: Sequence[EngineStatus]) -> Sequence[EngineStatus]:
        refusals = [self._policy.refusal(under.labels, model_id, engine.node, under.policy) for engine in engines]
        if not any(refusals):
            return engines
        if all(refusals):
            param = "labels" if under.labels else "model"
            raise NotAllowed(f"the policy lets no engine of {model_id} see this request: {refusals[0]}", param=param)
        return tuple(engine for engine, reason in zip(engines, refusals, strict=True) if not reason)
