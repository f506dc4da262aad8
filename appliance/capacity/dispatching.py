"""The appliance's own dispatch, with the simulation's clock: places, lines, admission, the choice of the engine. Pure.

Everything that decides is the code of `dispatch/`; what stands here is what `dispatch.dispatcher` does around it, with
turns that are called at once instead of awaited.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from appliance.capacity.setup import EnginePlace, Setup
from appliance.dispatch.admission import Admit, Reject, decide
from appliance.dispatch.attained import Attained
from appliance.dispatch.breaker import Sign
from appliance.dispatch.endpoint_picker import Asleep, NoEngine, Picked
from appliance.dispatch.fair_line import FairLine
from appliance.dispatch.lines import Lines, Ticket
from appliance.dispatch.places import Manner, Place, Places, Under
from appliance.dispatch.retry_budget import RetryBudget
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.domain.policy import OPEN
from appliance.domain.request import CallContext

_ANYBODY = Under()


@dataclass(slots=True, eq=False)
class Asked:
    """A call on its way to an engine. `failed` are engines that it failed on."""

    model_id: str
    ctx: CallContext
    prefix: int
    asked_s: float
    owner: object
    failed: frozenset[str] = frozenset()
    sent_s: float = 0.0
    place: Place | None = None
    _expected: float = 0.0
    _standing: AbstractContextManager[tuple[FairLine[Ticket], Ticket]] | None = None
    others: int = 0
    awake_s: float = 0.0


Send = Callable[[Asked, EngineStatus], None]
Refuse = Callable[[Asked, str], None]
LookAgain = Callable[[str, float], None]


class Dispatch:
    """Who waits for which model, and who is where.

    `send` hears of a call that goes to an engine now, `refuse` of one that is turned away, `look_again` of a model
    whose line has to be served again after so many seconds.
    """

    def __init__(
        self, setup: Setup, clock: Callable[[], float], send: Send, refuse: Refuse, look_again: LookAgain
    ) -> None:
        self._limits = setup.limits
        self._clock = clock
        self._send, self._refuse, self._look_again = send, refuse, look_again
        self._fleet = Fleet()
        self._statuses = {place.engine_id: _status(place) for place in setup.engines}
        self._fleet.publish(tuple(self._statuses.values()))
        self.attained = Attained()
        self._places = Places(self._fleet, OPEN, self.attained, clock, Manner(setup.weights), _nobody)
        self._lines = Lines(self.attained, clock)
        self._waiting: dict[Ticket, Asked] = {}
        self._of_model: dict[str, FairLine[Ticket]] = {}
        self._retries = RetryBudget()

    def set_state(self, engine_id: str, state: EngineState, pid: int) -> None:
        """An engine's state has changed."""
        before = self._statuses[engine_id]
        self._statuses[engine_id] = EngineStatus(
            engine_id, before.model_id, state, "", "", before.max_model_len, before.max_num_seqs, pid
        )
        self._fleet.publish(tuple(self._statuses.values()))
        self.serve(before.model_id)

    def ask(self, asked: Asked) -> None:
        """A call that the coordinator makes: it goes, waits, or is refused."""
        self._retries.paid_in()
        self._enter(asked)

    def again(self, asked: Asked, engine_id: str) -> bool:
        """Its engine died before its first byte: it goes elsewhere, if the budget of retries has room."""
        asked.failed |= {engine_id}
        if not isinstance(self._find(asked), Picked | Asleep) or not self._retries.take():
            return False
        self._enter(asked)
        return True

    def left(self, asked: Asked, sign: Sign) -> None:
        """A call has left its engine."""
        assert asked.place is not None
        self._lines.served(asked.ctx, asked._expected, asked.place.began_s)
        asked.place.leave(sign)
        asked.place = None
        if asked.model_id in self._of_model:
            self.serve(asked.model_id)

    def serve(self, model_id: str) -> None:
        """Let those go whose turn it is."""
        while (line := self._of_model.get(model_id)) is not None:
            ticket = line.first(self._clock())
            if ticket is None or not self._moved(self._waiting[ticket], line, ticket):
                return

    def look_at_all(self, model_id: str) -> None:
        """Turn those away whose patience is over, wherever they stand."""
        line = self._of_model.get(model_id)
        for ticket in list(line or ()):
            if ticket in self._waiting and line is not None:
                self._moved(self._waiting[ticket], line, ticket)
        self.serve(model_id)

    def _enter(self, asked: Asked) -> None:
        if asked.model_id not in self._of_model:  # most calls need no line
            found = self._find(asked)
            if isinstance(found, NoEngine):
                self._refuse(asked, f"no engine of {asked.model_id} serves")
                return
            if isinstance(found, Picked) and found.free_share > 0:
                self._go(asked, found.engine)
                return
        asked._standing = self._lines.joined(asked.model_id, asked.ctx)
        line, ticket = asked._standing.__enter__()
        asked.others = self._lines.crowd(line, asked.ctx.tenant)[0] - 1
        asked.awake_s = self._clock()
        self._waiting[ticket] = asked
        self._of_model[asked.model_id] = line
        self._moved(asked, line, ticket, new=True)

    def _moved(self, asked: Asked, line: FairLine[Ticket], ticket: Ticket, *, new: bool = False) -> bool:
        """Whether a call that stands in a line has left it, to an engine or for good."""
        now_s, found = self._clock(), self._find(asked)
        if isinstance(found, NoEngine):
            self._step_out(asked, ticket)
            self._refuse(asked, f"no engine of {asked.model_id} serves")
            return True
        asleep = isinstance(found, Asleep)
        if asleep:
            asked.failed, asked.awake_s = frozenset(), now_s
        decision = decide(
            free_share=found.free_share if isinstance(found, Picked) else 0.0,
            first=line.first(now_s) is ticket,
            others=asked.others,
            begun=ticket.waiting.attained_s > 0,
            waited_s=now_s - (ticket.waiting.came_s if asleep else asked.awake_s),
            left_s=asked.ctx.deadline_s - now_s,
            drain_s=0.0,  # it is told to nobody
            limits=self._limits,
            asleep=asleep,
        )
        if isinstance(decision, Admit):
            assert isinstance(found, Picked)
            self._step_out(asked, ticket)
            self._go(asked, found.engine)
            return True
        if isinstance(decision, Reject):
            self._step_out(asked, ticket)
            self._refuse(asked, decision.reason)
            return True
        if new:
            self._look_again(asked.model_id, decision.at_most_s)
        return False

    def _step_out(self, asked: Asked, ticket: Ticket) -> None:
        assert asked._standing is not None
        del self._waiting[ticket]
        asked._standing.__exit__(None, None, None)
        asked._standing = None
        if not self._lines.stands(asked.model_id):
            del self._of_model[asked.model_id]

    def _go(self, asked: Asked, engine: EngineStatus) -> None:
        asked.sent_s = self._clock()
        asked.place = self._places.take(engine, self._places.receipt(), asked.ctx.request_id)
        asked._expected = self._lines.serve(asked.ctx)
        self._send(asked, engine)

    def _find(self, asked: Asked) -> Picked | Asleep | NoEngine:
        return self._places.find(asked.model_id, _ANYBODY, asked.prefix, asked.failed)


def _status(place: EnginePlace) -> EngineStatus:
    profile = place.profile
    state = EngineState.READY if place.awake else EngineState.ASLEEP
    return EngineStatus(
        place.engine_id, profile.model_id, state, "", "", profile.max_model_len, profile.max_num_seqs, pid=1
    )


def _nobody(_engine: EngineStatus, _left: bool) -> None:
    """Lines are served when a call has left."""
