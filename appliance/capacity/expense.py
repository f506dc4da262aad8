"""Money and energy of a pool per thousand requests, with what is assumed about both. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.capacity.demand import Load
from appliance.capacity.hardware import GpuKind
from appliance.capacity.setup import EnginePlace

IDLE_SHARE: Final = (0.1, 0.2, 0.4)
"""Of the most that a card draws, while it computes nothing with a model in it: least, likely, most. Assumed."""
BUSY_SHARE: Final = (0.6, 0.8, 1.0)
"""Of the most that a card draws, while it computes. Reading memory draws less than arithmetic. Assumed."""


@dataclass(frozen=True, slots=True)
class Band:
    """A figure with the ends of what it may be."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Expense:
    """Per thousand requests: money, paid around the clock, and watt-hours of the GPUs in the busiest hour."""

    money: float
    money_source: str
    energy_wh: Band
    energy_source: str


def expense(kind: GpuKind, gpus: int, load: Load, places: Sequence[EnginePlace], busy: Mapping[str, float]) -> Expense:
    """`busy` is the part of the time that each engine computes under the load."""
    thousands_per_day = load.requests_per_day / 1000
    computing = _computing(places, busy)
    per_request = [
        kind.power_w.value * (idle * gpus + (full - idle) * computing) / load.rate_per_s / 3600
        for idle, full in zip(IDLE_SHARE, BUSY_SHARE, strict=True)
    ]
    return Expense(
        money=gpus * kind.price_per_hour.value * 24 / thousands_per_day,
        money_source=f"{kind.price_per_hour.value:g} per GPU-hour ({kind.price_per_hour.source}), 24 h a day",
        energy_wh=Band(*(1000 * wh for wh in per_request)),
        energy_source=(
            f"GPUs alone, at most {kind.power_w.value:g} W each ({kind.power_w.source}); assumed: "
            f"{BUSY_SHARE[0]:.0%}–{BUSY_SHARE[2]:.0%} of it while computing, {IDLE_SHARE[0]:.0%}–{IDLE_SHARE[2]:.0%} "
            "while idle"
        ),
    )


def _computing(places: Sequence[EnginePlace], busy: Mapping[str, float]) -> float:
    """GPUs that compute, on average: a GPU whose engines want more than all of its time is busy all the time."""
    by_device: dict[str, tuple[float, int]] = {}
    for place in places:
        share, _ = by_device.get(place.device, (0.0, 0))
        gpus = place.device.count("+") + 1
        by_device[place.device] = (share + busy.get(place.engine_id, 0.0) * place.profile.device_share, gpus)
    return sum(min(1.0, share) * gpus for share, gpus in by_device.values())
