"""Which engine gets the call: filter → score in [0, 1] → pick. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from appliance.dispatch.prefix import at_home
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import NO_FIGURES, EngineFigures


@dataclass(frozen=True, slots=True)
class PickWeights:
    """What counts how much in an engine's score; only their ratios matter.

    `slots`: free share of its batch, by our own count. `kv`: free share of its KV cache as last sampled. `prefix`: it
    has probably seen the conversation's beginning. `health`: its last calls went well.
    """

    slots: float = 4.0
    kv: float = 2.0
    prefix: float = 3.0
    health: float = 1.0


@dataclass(frozen=True, slots=True)
class Broken:
    """What is known of an engine whose last calls failed.

    So many in a row; `closed_to` says why it gets no call at present (empty: it may). `busy`: a call is on trial, and
    others wait for what it says.
    """

    failures: int
    closed_to: str = ""
    busy: bool = False


@dataclass(slots=True)
class Sight:
    """What is known of the engines at this moment, by engine id. `prefix` names the conversation."""

    in_flight: Mapping[str, int]
    figures: Mapping[str, EngineFigures] = field(default_factory=dict)
    broken: Mapping[str, Broken] = field(default_factory=dict)
    prefix: int | None = None


@dataclass(slots=True)
class Picked:
    """The engine to send to, its score, and the free share of its batch (1: idle; 0: full, or it takes none now)."""

    engine: EngineStatus
    score: float
    free_share: float


@dataclass(frozen=True, slots=True)
class NoEngine:
    """No engine qualifies; one reason for each engine that serves the model, or one that none is there."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asleep:
    """No engine qualifies now, but one will when its turn comes."""

    engine_ids: tuple[str, ...]


DEFAULT_WEIGHTS = PickWeights()


def pick(
    model_id: str,
    serving: Sequence[EngineStatus],
    sight: Sight,
    excluded: Set[str] = frozenset(),
    weights: PickWeights = DEFAULT_WEIGHTS,
) -> Picked | Asleep | NoEngine:
    """The best of the engines that serve `model_id`, outside `excluded`.

    1. Filter: it is ready, did not just fail this call, and its breaker lets calls through.
    2. Those that have room go before those that have none.
    3. The best score; of equal ones the least loaded, then the smaller id.
    """
    if not serving:
        return NoEngine((f"no engine is placed for {model_id}",))
    if len(serving) == 1 and not _refusal(serving[0], sight, excluded):
        free = free_share(serving[0], sight)
        return Picked(serving[0], free, free)  # nobody to be compared with
    fit = [engine for engine in serving if not _refusal(engine, sight, excluded)]
    if len(fit) == 1:
        return Picked(fit[0], _score(fit[0], sight, 1.0, weights), free_share(fit[0], sight))
    if not fit:
        asleep = tuple(engine.engine_id for engine in serving if engine.awaits_turn)
        if asleep:
            return Asleep(asleep)
        return NoEngine(tuple(f"{engine.engine_id}: {_refusal(engine, sight, excluded)}" for engine in serving))
    roomy = [engine for engine in fit if free_share(engine, sight) > 0] or fit
    home = {} if sight.prefix is None else at_home(sight.prefix, [engine.engine_id for engine in fit])
    scored = [(_score(e, sight, home.get(e.engine_id, 0.0), weights), free_share(e, sight), e) for e in roomy]
    score, free, best = min(scored, key=lambda found: (-round(found[0], 9), -found[1], found[2].engine_id))
    return Picked(best, score, free)


def free_share(engine: EngineStatus, sight: Sight) -> float:
    """Free share of the engine's batch, from our own count of calls in flight; 0 while a call is on trial."""
    broken = sight.broken.get(engine.engine_id)
    if broken is not None and broken.busy:
        return 0.0
    taken, slots = sight.in_flight.get(engine.engine_id, 0), engine.max_num_seqs or 1
    return 1.0 - taken / slots if taken < slots else 0.0


def _score(engine: EngineStatus, sight: Sight, home: float, weights: PickWeights) -> float:
    """The weighted mean. Where the KV cache's use is not known, the batch stands for it."""
    free = free_share(engine, sight)
    kv_used = sight.figures.get(engine.engine_id, NO_FIGURES).kv_used_share
    broken = sight.broken.get(engine.engine_id)
    said = weights.slots + weights.kv + weights.prefix + weights.health
    score = weights.slots * free
    score += weights.kv * (free if kv_used is None else 1.0 - kv_used)
    score += weights.prefix * home
    score += weights.health / (1.0 + broken.failures) if broken is not None else weights.health
    return score / said if said else free


def _refusal(engine: EngineStatus, sight: Sight, excluded: Set[str]) -> str:
    if engine.state is not EngineState.READY:
        return engine.state.value
    if engine.engine_id in excluded:
        return "just failed"
    broken = sight.broken.get(engine.engine_id)
    return broken.closed_to if broken is not None else ""
