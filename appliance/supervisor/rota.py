"""Keeps whose turn it is in each group, from the demand of the request path."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace

from appliance.domain.engine import EngineSpec, EngineState
from appliance.domain.fleet import DemandEvent
from appliance.supervisor.reconcile import Observed
from appliance.supervisor.turns import Member, Turn, TurnPolicy, Wish, first_turn, next_turn, noted, remembered

LOOK_S = 0.2
"""The demand is read this often; waking a model takes longer by far."""

_COMING_UP = frozenset({EngineState.STARTING, EngineState.WARMING})
_SERVING = _COMING_UP | {EngineState.READY}


class Rota:
    """The turns of all groups among `specs`; those without a group take no part."""

    def __init__(self, specs: Collection[EngineSpec], policy: TurnPolicy) -> None:
        self._policy = policy
        self._groups: dict[str, tuple[EngineSpec, ...]] = {}
        self._turns: dict[str, Turn] = {}
        self._wishes: dict[str, Wish] = {}
        self._opened = False
        self.regroup(specs)

    def regroup(self, specs: Collection[EngineSpec]) -> None:
        """From now on these are the engines; a group that stays keeps its turn."""
        names = dict.fromkeys(spec.turn_group for spec in specs if spec.turn_group)
        self._groups = {name: tuple(spec for spec in specs if spec.turn_group == name) for name in names}
        self._turns = {name: turn for name, turn in self._turns.items() if name in names}

    @property
    def has_groups(self) -> bool:
        """Whether anything takes turns at all."""
        return bool(self._groups)

    @property
    def first_ids(self) -> frozenset[str]:
        """The engines that are awake when all groups have started."""
        return frozenset(group[0].engine_id for group in self._groups.values())

    def open(self) -> None:
        """All engines have started: from now on demand decides."""
        self._opened = True

    def hear(self, demand: deque[DemandEvent], now_s: float) -> None:
        """Take all events out of `demand`."""
        events = [demand.popleft() for _ in range(len(demand))]
        self._wishes = noted(remembered(self._wishes, now_s, self._policy), events)

    def turns(self, observed: Mapping[str, Observed], running: Collection[str], now_s: float) -> Mapping[str, Turn]:
        """Whose turn it is, by group. `running` are the engines that have a process."""
        for name, group in self._groups.items():
            turn = self._turns.get(name)
            if self._opened and turn is not None:
                self._turns[name] = _newcomers_turn(group, turn, observed, now_s) or next_turn(
                    self._members(name, observed), turn, now_s, self._policy
                )
                continue
            first = first_turn(
                [(spec.engine_id, spec.sleep_level > 0 and spec.engine_id not in running) for spec in group], now_s
            )
            if turn is None or turn.engine_id != first.engine_id:
                self._turns[name] = first
        return dict(self._turns)

    def _members(self, group: str, observed: Mapping[str, Observed]) -> tuple[Member, ...]:
        members = []
        for spec in self._groups[group]:
            found = observed[spec.engine_id]
            wish = self._wishes.get(spec.model_id, Wish())
            if found.state is EngineState.ASLEEP and self._served_elsewhere(spec, observed):
                wish = replace(wish, waiting=0)
            members.append(Member(spec.engine_id, found.state, found.since_s, wish))
        return tuple(members)

    def _served_elsewhere(self, spec: EngineSpec, observed: Mapping[str, Observed]) -> bool:
        """Whether another engine of the same model is up, or about to be: then this one lets the others of its group
        work, even where that one is full."""
        called = {turn.engine_id for turn in self._turns.values()}
        return any(
            other.spec.model_id == spec.model_id
            and other.spec.engine_id != spec.engine_id
            and (other.state in _SERVING or (other.state is EngineState.ASLEEP and other.spec.engine_id in called))
            for other in observed.values()
        )


def _newcomers_turn(
    group: Collection[EngineSpec], turn: Turn, observed: Mapping[str, Observed], now_s: float
) -> Turn | None:
    """An engine that joined a running group, and sleeps in its process, has to start once; None where none has to.

    Whoever is coming up is let be.
    """
    absent = [s.engine_id for s in group if s.sleep_level > 0 and observed[s.engine_id].state is EngineState.ABSENT]
    holder = observed.get(turn.engine_id)
    if turn.engine_id in absent:
        return turn
    if not absent or (holder is not None and holder.state in _COMING_UP):
        return None
    return Turn(absent[-1], now_s, "it starts and then sleeps until its turn comes")
