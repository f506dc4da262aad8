"""On what terms calls are charged: the operator's prices, the nodes of the fleet, the energy that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from appliance.config.ledger import PriceSettings
from appliance.domain.fleet import Fleet, FleetSnapshot
from appliance.domain.gpu import Card
from appliance.domain.usage import Charged

CPU = "CPU"
"""Stands for the GPU's name where an engine has none."""


class Measured(Protocol):
    """What an engine's devices took."""

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        """A call's share of it; None where nobody measured it."""


class FleetTerms:
    """The ledger's `Terms`. It remembers engines that are gone, since a call may be written down after them."""

    def __init__(self, prices: PriceSettings, fleet: Fleet, cards: Mapping[str, Card], measured: Measured) -> None:
        self._prices = prices
        self._fleet = fleet
        self._cards = cards
        self._measured = measured
        self._known: dict[str, Charged] = {}
        self._seen: FleetSnapshot | None = None

    def charged(self, engine_id: str) -> Charged:
        """Node and price of an engine; the price that holds everywhere for one that nobody knows."""
        if self._fleet.snapshot is not self._seen:
            self._seen = self._fleet.snapshot
            for engine in self._seen.engines:
                self._known[engine.engine_id] = self._terms(engine.node, self._gpu_name(engine.engine_id))
        return self._known.get(engine_id) or self._terms("", "")

    def energy_j(self, engine_id: str, begun_unix_s: float, ended_unix_s: float, gpu_s: float) -> float | None:
        """The call's share of what the engine's devices took."""
        return self._measured.energy_j(engine_id, begun_unix_s, ended_unix_s, gpu_s)

    def _gpu_name(self, engine_id: str) -> str:
        gpu_ids = self._fleet.figures_of(engine_id).gpu_ids
        card = self._cards.get(gpu_ids[0]) if gpu_ids else None
        return card.name if card else CPU

    def _terms(self, node: str, gpu_name: str) -> Charged:
        prices = self._prices
        price = prices.by_node.get(node, prices.by_gpu.get(gpu_name, prices.per_gpu_hour))
        return Charged(node, price, "" if price is None else prices.currency)
