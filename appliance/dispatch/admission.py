"""Whether a call goes to its engine now, waits with us, or is refused. Pure.

Engines get at most what they run in one batch, so their own queues stay short and the order is ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """`max_waiting` calls wait per model, each `max_wait_s` seconds at the most while the model is awake.

    A call of a request that has begun is not turned away for the length of the line, and it may wait for half of the
    time that it has left where that is more: what was done for the request would be lost.
    """

    max_waiting: int = 256
    max_wait_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Admit:
    """Send it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when a call ends, and after `at_most_s` seconds in any case."""

    at_most_s: float


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse it; a retry is promising after `retry_after_s` seconds: those who wait now are gone, or patience is."""

    reason: str
    retry_after_s: float


def decide(
    *,
    free_share: float,
    first: bool,
    others: int,
    begun: bool,
    waited_s: float,
    left_s: float,
    drain_s: float,
    limits: AdmissionLimits,
    asleep: bool = False,
) -> Admit | Wait | Reject:
    """Admit, wait or reject one call.

    `free_share` is the best engine's score. `first`: it is this call's turn; `others` stood in the line when it came.
    `begun`: its request has had service before. `waited_s` is its own wait so far, `left_s` the time to its deadline.
    `drain_s` is what the engines take for all who wait. `asleep`: the model sleeps until its turn comes.

    1. Room, and it is its turn: admit.
    2. Too many waited already when a request's first call came: reject at once.
    3. It waited long enough, or its deadline passed: reject. For its model's turn it waits up to its deadline.
    4. Else wait.
    """
    if free_share > 0 and first and not asleep:
        return Admit()
    retry_after_s = max(1.0, limits.max_wait_s if asleep else min(drain_s, limits.max_wait_s))
    if others >= limits.max_waiting and not begun:
        return Reject(f"{others} calls wait already", retry_after_s)
    longest_s = max(limits.max_wait_s, (waited_s + left_s) / 2) if begun else limits.max_wait_s
    patience_s = left_s if asleep else min(longest_s - waited_s, left_s)
    if patience_s <= 0:
        missing = "it sleeps, and its turn did not come" if asleep else "no room"
        return Reject(f"{missing} within {waited_s:.1f} s", retry_after_s)
    return Wait(patience_s)
