from __future__ import annotations

from dataclasses import replace

from appliance.bootstrap.charging import FleetTerms
from appliance.bootstrap.energy import EnergyLog
from appliance.config.ledger import PriceSettings
from appliance.domain.fleet import EngineFigures, Fleet
from appliance.domain.gpu import Card
from appliance.domain.usage import Charged
from tests.gateway.door import engine

PRICES = PriceSettings(per_gpu_hour=1.0, by_gpu={"NVIDIA L4": 0.6, "CPU": 0.1}, by_node={"node-b": 2.5})
CARDS = {"GPU-1": Card("NVIDIA L4", 24), "GPU-2": Card("NVIDIA H100", 80)}


def terms(fleet: Fleet, prices: PriceSettings = PRICES) -> FleetTerms:
    return FleetTerms(prices, fleet, CARDS, EnergyLog())


def test_the_price_is_the_nodes_or_the_gpus_or_that_of_all() -> None:
    fleet = Fleet()
    fleet.publish(
        (
            replace(engine("l4"), node="node-a"),
            replace(engine("h100"), node="node-a"),
            replace(engine("cpu"), node="node-a"),
            replace(engine("dear"), node="node-b"),
        )
    )
    fleet.figures = {
        "l4-0": EngineFigures(("GPU-1",)), "h100-0": EngineFigures(("GPU-2",)), "dear-0": EngineFigures(("GPU-1",)),
    }  # fmt: skip
    charged = terms(fleet)
    assert charged.charged("l4-0") == Charged("node-a", 0.6, "EUR")
    assert charged.charged("h100-0") == Charged("node-a", 1.0, "EUR")
    assert charged.charged("cpu-0") == Charged("node-a", 0.1, "EUR")
    assert charged.charged("dear-0") == Charged("node-b", 2.5, "EUR")


def test_an_engine_that_is_gone_is_remembered() -> None:
    fleet = Fleet()
    fleet.publish((replace(engine("x"), node="node-b"),))
    charged = terms(fleet)
    assert charged.charged("x-0").node == "node-b"
    fleet.publish(())
    assert charged.charged("x-0") == Charged("node-b", 2.5, "EUR")
    assert charged.charged("never-0") == Charged("", 1.0, "EUR")


def test_without_prices_there_is_no_money() -> None:
    fleet = Fleet()
    fleet.publish((engine("x"),))
    assert terms(fleet, PriceSettings()).charged("x-0") == Charged("local", None, "")
