"""What a snapshot of the fleet says of each model, reckoned once for as long as that snapshot stands."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet, FleetSnapshot, ModelRoom


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: its engines in any state, and those of them that take calls now or when their turn comes, by id.

    `places` are calls in the batches of these, `devices` those of one engine, `context_tokens` the longest prompt and
    answer together that any engine takes (None: there is no engine).
    """

    engine_ids: tuple[str, ...] = ()
    usable_ids: tuple[str, ...] = ()
    places: int = 0
    devices: int = 1
    context_tokens: int | None = None


_UNSERVED = ServedModel()


class ServedModels:
    """By model id. Nothing here waits."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._snapshot: FleetSnapshot | None = None
        self._known: dict[str, ServedModel] = {}

    def of(self, model_id: str) -> ServedModel:
        """What there is of it."""
        snapshot = self._fleet.snapshot
        if snapshot is not self._snapshot:
            self._known = {name: _served(engines) for name, engines in snapshot.by_model().items()}
            self._snapshot = snapshot
        return self._known.get(model_id, _UNSERVED)

    def room(self, model_id: str, in_flight: dict[str, int], waiting: int) -> ModelRoom:
        """What there is of it now; `in_flight` are calls by engine id."""
        served, figures_of = self.of(model_id), self._fleet.figures.get
        kv_tokens: int | None = 0 if served.usable_ids else None
        for engine_id in served.usable_ids:
            figures = figures_of(engine_id)
            if figures is None or figures.kv_tokens is None:
                kv_tokens = None
                break
            assert kv_tokens is not None, "it begins at 0 where there is an engine"
            kv_tokens += figures.kv_tokens
        running = sum([in_flight.get(engine_id, 0) for engine_id in served.engine_ids]) if in_flight else 0
        return ModelRoom(running, waiting, served.places, served.devices, kv_tokens)


def _served(engines: tuple[EngineStatus, ...]) -> ServedModel:
    usable = [engine for engine in engines if engine.state is EngineState.READY or engine.awaits_turn]
    return ServedModel(
        engine_ids=tuple(engine.engine_id for engine in engines),
        usable_ids=tuple(engine.engine_id for engine in usable),
        places=sum(engine.max_num_seqs for engine in usable),
        devices=max(engine.devices for engine in engines),
        context_tokens=max(engine.max_model_len for engine in engines),
    )
