"""Which model of a group that shares its GPUs is awake, and until when. Pure.

Demand comes as events of the request path; `noted` folds them into one `Wish` a model. `next_turn` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from appliance.domain.engine import EngineState
from appliance.domain.fleet import DemandEvent


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How turns change. Times in seconds.

    A turn lasts `shortest_s` at least, so that hot models can't thrash; from then on it ends when its model has
    nothing to do while another one waits, and after `longest_s` in any case where another one waits. Calls that wait
    renew their demand several times a second: what was not renewed for `forget_after_s` waits no more.
    """

    shortest_s: float = 5.0
    longest_s: float = 60.0
    forget_after_s: float = 2.0
    sleep_timeout_s: float = 120.0
    """To copy the weights into the memory of the machine, or to drop them."""
    wake_timeout_s: float = 300.0
    """To bring the weights back and to generate a token."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the request path wants of a model. `since_s`: from then on somebody waited without a break."""

    waiting: int = 0
    in_flight: int = 0
    since_s: float = 0.0
    seen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Member:
    """An engine of a group. `since_s` is when `state` began."""

    engine_id: str
    state: EngineState
    since_s: float
    wish: Wish = Wish()

    @property
    def has_work(self) -> bool:
        """Somebody waits for it, or is being answered."""
        return self.wish.waiting > 0 or self.wish.in_flight > 0


@dataclass(frozen=True, slots=True)
class Turn:
    """`engine_id` is to be awake. It was given the turn at `given_s`, for `reason`."""

    engine_id: str
    given_s: float
    reason: str


def noted(wishes: Mapping[str, Wish], events: Iterable[DemandEvent]) -> dict[str, Wish]:
    """`wishes` by model id after `events`, the oldest first."""
    book = dict(wishes)
    for event in events:
        before = book.get(event.model_id, Wish())
        since_s = before.since_s if before.waiting else event.at_s
        book[event.model_id] = Wish(event.waiting, event.in_flight, since_s, event.at_s)
    return book


def remembered(wishes: Mapping[str, Wish], now_s: float, policy: TurnPolicy) -> dict[str, Wish]:
    """`wishes` without the waiting that nobody renewed, and without those of which nothing is left."""
    kept = {
        model_id: wish if now_s - wish.seen_s <= policy.forget_after_s else replace(wish, waiting=0)
        for model_id, wish in wishes.items()
    }
    return {model_id: wish for model_id, wish in kept.items() if wish.waiting or wish.in_flight}


def next_turn(members: Sequence[Member], turn: Turn, now_s: float, policy: TurnPolicy) -> Turn:
    """Whose turn it is from now on; `turn` itself while it goes on.

    1. Nobody else waits: it goes on.
    2. The engine that has the turn is still coming up: it goes on.
    3. It was given, or came up, less than `shortest_s` ago: it goes on.
    4. The engine has failed, or has no work, or was awake for `longest_s`: whoever waits longest is next.

    An engine that comes back from its own turn waits from that moment on, so everyone who waited before goes first:
    with n members nobody waits for more than n - 1 turns.
    """
    others = [m for m in members if m.engine_id != turn.engine_id]
    waiting = [m for m in others if m.wish.waiting and m.state is EngineState.ASLEEP]
    if not waiting:
        return turn
    holder = next((m for m in members if m.engine_id == turn.engine_id), None)
    if holder is not None:
        if holder.state not in {EngineState.READY, EngineState.FAILED}:
            return turn
        awake_s = now_s - max(turn.given_s, holder.since_s if holder.state is EngineState.READY else turn.given_s)
        if awake_s < policy.shortest_s:
            return turn
        if holder.state is EngineState.READY and holder.has_work and awake_s < policy.longest_s:
            return turn
    chosen = min(waiting, key=_waits_since_s)
    return Turn(chosen.engine_id, now_s, f"calls have waited {max(0.0, now_s - chosen.wish.since_s):.1f} s for it")


def first_turn(members: Sequence[tuple[str, bool]], now_s: float) -> Turn:
    """Whose turn it is while a group starts: (engine id, whether it must run before it can sleep) in the group's order.

    Those that sleep in their process start one after the other, the last one first, and go to sleep; the first one of
    the group comes last and stays awake.
    """
    must_run = [engine_id for engine_id, must in members[1:] if must]
    if must_run:
        return Turn(must_run[-1], now_s, "it starts and then sleeps until its turn comes")
    return Turn(members[0][0], now_s, "it is the first of its group")


def _waits_since_s(member: Member) -> float:
    return max(member.wish.since_s, member.since_s)
