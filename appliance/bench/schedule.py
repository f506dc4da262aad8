"""A scenario's phases → when everything is due. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.bench import arrivals
from appliance.bench.dialogue import ClosedPhase, OpenPhase, Phase
from appliance.bench.scenario import Scenario
from appliance.bench.scenario_settings import Closed, Constant, Gamma, PhaseSettings, Poisson, Replay


def phases_of(scenario: Scenario, seed: int | None = None) -> tuple[Phase, ...]:
    """One after the other, sweeps taken apart. `seed` instead of the scenario's own."""
    seed = scenario.settings.seed if seed is None else seed
    begins_s, found = 0.0, list[Phase]()
    for number, (name, settings, rate) in enumerate(_each(scenario)):
        timestamps_s = scenario.timestamps_s.get(settings.name, ())
        found.append(_phase(name, settings, rate, begins_s, timestamps_s, seed + 7_919 * number))
        begins_s += settings.duration_s + settings.pause_s
    return tuple(found)


def _each(scenario: Scenario) -> Iterator[tuple[str, PhaseSettings, float | None]]:
    for settings in scenario.settings.phases:
        if settings.rates is None:
            yield settings.name, settings, None
        for rate in settings.rates or ():
            yield f"{settings.name}@{rate:g}", settings, rate


def _phase(
    name: str,
    settings: PhaseSettings,
    rate: float | None,
    begins_s: float,
    timestamps_s: tuple[float, ...],
    seed: int,
) -> Phase:
    said, duration_s = settings.arrivals, settings.duration_s
    ends_s, counts = begins_s + duration_s, settings.purpose == "steady"
    if isinstance(said, Closed):
        return ClosedPhase(name, begins_s, ends_s, said.users, said.think_s, counts)
    if isinstance(said, Replay):
        dues_s = arrivals.replay(timestamps_s, duration_s, speed=said.speed)
    else:
        rate = said.rate if rate is None else rate
        until = rate if said.until is None else said.until
        match said:
            case Constant():
                dues_s = arrivals.constant(rate, until, duration_s)
            case Poisson():
                dues_s = arrivals.poisson(rate, until, duration_s, seed=seed)
            case Gamma():
                dues_s = arrivals.gamma(rate, until, duration_s, burstiness=said.burstiness, seed=seed)
    return OpenPhase(name, begins_s, ends_s, dues_s, counts)
