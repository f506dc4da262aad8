"""Whether another plan is worth carrying out in place of the one that runs."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.placement import PlacementPlan


@dataclass(frozen=True, slots=True)
class CarryOut:
    """It is; `changes` say what becomes of engines."""

    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """The running plan goes on."""

    reason: str


def verdict(
    running: PlacementPlan, found: PlacementPlan, now_per_s: float | None, *, urgent: bool, gain: float
) -> CarryOut | Keep:
    """`found` is in the names of `running` (`continuation.py`); `now_per_s` is what `running` keeps up with, under the
    demand that `found` was made for.

    1. What changes nothing is not carried out.
    2. What is urgent is.
    3. So is what serves a model that had no engine.
    4. Where the running plan gives all that is wanted, it goes on.
    5. Else the rate must grow by the share `gain`.
    """
    changes = _changes(running, found)
    if not changes:
        return Keep("the best plan now is the one that runs")
    if urgent or {e.model_id for e in found.engines} - {e.model_id for e in running.engines}:
        return CarryOut(changes)
    then_per_s, wanted_per_s = found.requests_per_s, found.wanted_per_s
    if now_per_s is None or then_per_s is None:
        return Keep("no demand is known that another plan would serve better")
    if wanted_per_s is not None and now_per_s >= wanted_per_s:
        return Keep(f"the running plan gives the {wanted_per_s:g} requests/s that are wanted")
    if then_per_s >= now_per_s * (1 + gain):
        return CarryOut(changes)
    return Keep(
        f"another plan would give {then_per_s:.2f} requests/s in place of {now_per_s:.2f}: not worth new starts"
    )


def _changes(running: PlacementPlan, found: PlacementPlan) -> tuple[str, ...]:
    before = {engine.engine_id: engine for engine in running.engines}
    after = {engine.engine_id: engine for engine in found.engines}
    said = [f"{e.engine_id} starts on {', '.join(e.gpu_ids)}" for e in found.engines if e.engine_id not in before]
    said += [f"{e.engine_id} leaves {', '.join(e.gpu_ids)}" for e in running.engines if e.engine_id not in after]
    return tuple(said)
