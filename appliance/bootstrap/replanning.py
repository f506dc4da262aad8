"""Looks at the machine and the demand while a plan runs, and makes the plan anew where it must or may be better."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.new_plan import NewPlan, mended, solved
from appliance.bootstrap.running_engines import RunningEngines
from appliance.bootstrap.sighting import Sighting, sight
from appliance.config.placement import ReplanSettings
from appliance.domain.fleet import Fleet
from appliance.domain.placement import Unplaceable
from appliance.errors import ApplianceError
from appliance.placement.demand_watch import DemandWatch, DriftPolicy, after_window, differences, moved
from appliance.placement.renewal import CarryOut, verdict
from appliance.placement.trouble import Kind, Trouble, lasting, troubles

LONGEST_RETRY = 16
"""Retries come at most so many times `retry_s` apart."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Retry:
    """What was tried in vain, and when it may be tried again. Seconds on the loop's clock."""

    key: object = None
    next_s: float = 0.0
    wait_s: float = 0.0

    def may(self, key: object, now_s: float) -> bool:
        return key != self.key or now_s >= self.next_s

    def failed(self, key: object, now_s: float, first_s: float) -> None:
        self.wait_s = min(2 * self.wait_s, LONGEST_RETRY * first_s) if key == self.key else first_s
        self.key, self.next_s = key, now_s + self.wait_s


class Replanning:
    """Owned by one task: `run`. Everything is decided by what `placement/` says; here it is asked, and carried out."""

    def __init__(self, engines: RunningEngines, fleet: Fleet, tally: DemandTally, policy: ReplanSettings) -> None:
        self._engines = engines
        self._fleet = fleet
        self._tally = tally
        self._policy = policy
        self._drift = DriftPolicy(policy.factor, policy.windows)
        self._watch = DemandWatch(engines.lineup.demand)
        self._window_s: float | None = None
        self._last: tuple[Trouble, ...] = ()
        self._retry = _Retry()
        self._quiet_until_s = 0.0
        self._review = False
        self._left_out: tuple[str, ...] = ()
        self._known_gpus = frozenset(gpu.gpu_id for gpu in engines.plan.gpus)

    async def run(self) -> None:
        """Look until cancelled."""
        self._quiet_until_s = asyncio.get_running_loop().time() + self._policy.settle_s
        while True:
            await asyncio.sleep(self._policy.every_s)
            try:
                await self.look()
            except ApplianceError as error:
                self._say((str(error),))
            except Exception:  # the engines run on by their plan; one bad look must not end the watch
                _log.exception("looking after the plan goes on after an error")

    async def look(self) -> None:
        """One look, and what follows from it. Raises what a look at the machine or a new plan's start may raise."""
        now_s = asyncio.get_running_loop().time()
        look = await asyncio.to_thread(sight, self._engines.plan, self._fleet)
        self._close_window(now_s)
        urgent = self._urgent(look)
        if urgent:
            await self._mend(look, urgent, now_s)
            return
        self._say(self._left_out)
        if why := self._occasions(look, now_s):
            await self._improve(look, why, now_s)

    def _urgent(self, look: Sighting) -> tuple[Trouble, ...]:
        found = troubles(self._engines.plan, look.seen, self._policy.slack_bytes)
        if self._engines.leaving():  # their memory is neither the plan's nor that of others
            found = tuple(trouble for trouble in found if trouble.kind is Kind.GONE)
        urgent, self._last = lasting(found, self._last), found
        return urgent

    async def _mend(self, look: Sighting, urgent: tuple[Trouble, ...], now_s: float) -> None:
        key, why = frozenset(trouble.key for trouble in urgent), tuple(trouble.reason for trouble in urgent)
        if not self._retry.may(key, now_s):
            return
        _log.warning("the plan does not hold any more", why=why)
        demand = self._watch.assumed
        answer = await asyncio.to_thread(mended, self._engines.lineup, look, urgent, demand)
        if isinstance(answer, Unplaceable):
            await self._kept(why, answer.reasons)
        else:
            decision = verdict(self._engines.plan, answer.plan, None, urgent=True, gain=self._policy.gain)
            if isinstance(decision, CarryOut):
                await self._carry_out(answer, (*why, *decision.changes), now_s)
                self._review = True
            else:
                await self._kept(why, (decision.reason,))
        # After a success too: should the same trouble come back at once, the plan must not chase it.
        self._retry.failed(key, now_s, self._policy.retry_s)

    async def _kept(self, why: tuple[str, ...], reasons: tuple[str, ...]) -> None:
        self._say((*why, *(f"no plan without it: {reason}" for reason in reasons)))

    def _occasions(self, look: Sighting, now_s: float) -> tuple[str, ...]:
        """Why a better plan may be possible, where it is time for one."""
        came = tuple(sorted(set(look.seen.others_bytes) - self._known_gpus))
        why = tuple(f"GPU {gpu_id} can be used now" for gpu_id in came)
        if self._left_out and (came or self._retry.may(self._left_out, now_s)):
            return (*why, *self._left_out)
        if now_s < self._quiet_until_s or self._engines.leaving():
            return ()
        demand = moved(self._watch, self._drift)
        if demand is not None:
            why += differences(self._watch.assumed, demand, self._drift.factor)
        return (*why, "the last plan only mended the one before") if self._review else why

    async def _improve(self, look: Sighting, why: tuple[str, ...], now_s: float) -> None:
        demand = moved(self._watch, self._drift) or self._watch.assumed
        answer = await asyncio.to_thread(solved, self._engines.lineup, look, demand)
        self._watch = DemandWatch(demand)
        self._known_gpus = frozenset(look.seen.others_bytes)
        self._review = False
        self._quiet_until_s = now_s + self._policy.settle_s
        if isinstance(answer, NewPlan):
            plan = self._engines.plan
            decision = verdict(plan, answer.plan, answer.now_per_s, urgent=False, gain=self._policy.gain)
            if isinstance(decision, CarryOut):
                await self._carry_out(answer, (*why, *decision.changes), now_s)
            else:
                _log.info("the plan stays", looked_because_of=why, reason=decision.reason)
        else:
            _log.info("the plan stays", looked_because_of=why, reason=str(answer))
        if self._left_out:
            self._retry.failed(self._left_out, now_s, self._policy.retry_s)

    async def _carry_out(self, new: NewPlan, why: tuple[str, ...], now_s: float) -> None:
        await self._engines.carry_out(new.plan, why, new.left_out)
        self._left_out = new.left_out
        self._known_gpus = frozenset(gpu.gpu_id for gpu in new.plan.gpus)
        self._last = ()
        self._quiet_until_s = now_s + self._policy.settle_s

    def _close_window(self, now_s: float) -> None:
        if self._window_s is None:
            self._window_s = now_s
        if now_s - self._window_s >= self._policy.window_s and self._tally.requests >= self._policy.window_requests:
            self._watch = after_window(self._watch, self._tally.take(), self._drift)
            self._window_s = now_s

    def _say(self, trouble: tuple[str, ...]) -> None:
        """What speaks against the running plan, for `GET /fleet`; once in the log."""
        note = self._fleet.plan
        if note is None or note.trouble == trouble:
            return
        self._fleet.plan = replace(note, trouble=trouble)
        if trouble:
            _log.warning("something speaks against the plan", trouble=trouble)
