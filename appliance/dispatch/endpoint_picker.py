"""Which engine gets the call: filter → score in [0, 1] → pick. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from appliance.domain.engine import EngineState, EngineStatus


@dataclass(frozen=True, slots=True)
class Picked:
    """The engine to send to, and its score (1: idle, 0: full or more than full)."""

    engine: EngineStatus
    score: float


@dataclass(frozen=True, slots=True)
class NoEngine:
    """No engine qualifies; one reason for each engine that serves the model, or one that none is there."""

    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asleep:
    """No engine qualifies now, but one will when its turn comes."""

    engine_ids: tuple[str, ...]


def pick(
    model_id: str,
    engines: Sequence[EngineStatus],
    in_flight: Mapping[str, int],
    excluded: Set[str] = frozenset(),
) -> Picked | Asleep | NoEngine:
    """The least loaded ready engine of `model_id` outside `excluded`; the smaller engine id wins a tie."""
    serving = [engine for engine in engines if engine.model_id == model_id]
    if not serving:
        return NoEngine((f"no engine is placed for {model_id}",))
    fit = [engine for engine in serving if not _refusal(engine, excluded)]
    asleep = tuple(engine.engine_id for engine in serving if engine.awaits_turn)
    if not fit and asleep:
        return Asleep(asleep)
    if not fit:
        return NoEngine(tuple(f"{engine.engine_id}: {_refusal(engine, excluded)}" for engine in serving))
    best = min(fit, key=lambda engine: (-score(engine, in_flight), engine.engine_id))
    return Picked(best, score(best, in_flight))


def score(engine: EngineStatus, in_flight: Mapping[str, int]) -> float:
    """Free share of the engine's batch, from our own count of calls in flight."""
    return max(0.0, 1.0 - in_flight.get(engine.engine_id, 0) / max(1, engine.max_num_seqs))


def _refusal(engine: EngineStatus, excluded: Set[str]) -> str:
    if engine.state is not EngineState.READY:
        return engine.state.value
    return "just failed" if engine.engine_id in excluded else ""
