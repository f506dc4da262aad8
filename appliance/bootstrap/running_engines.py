"""The engines that run by a plan, and how another plan takes the place of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from appliance.bootstrap.engine_ports import EnginePorts
from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.measurements import Measurements
from appliance.bootstrap.pool import verify
from appliance.bootstrap.running_plan import write_plan
from appliance.domain.engine import EngineSpec
from appliance.domain.fleet import Fleet, PlanNote
from appliance.domain.placement import PlacementPlan
from appliance.engines.sampler import Sampler, Subject

Want = Callable[[tuple[EngineSpec, ...]], None]
"""Tells the supervisor which engines are to run."""

_log = structlog.get_logger(__name__)


def subjects_of(lineup: Lineup, specs: tuple[EngineSpec, ...], log_dir: Path) -> dict[str, Subject]:
    """What the sampler has to know of each engine."""
    return {
        spec.engine_id: Subject(spec, lineup.planned_bytes(spec), log_dir / f"{spec.engine_id}.log") for spec in specs
    }


class RunningEngines:
    """Keeps what runs in step: the plan, ports, the supervisor, the sampler and its judge, the file and the note."""

    def __init__(
        self,
        lineup: Lineup,
        *,
        ports: EnginePorts,
        want: Want,
        sampler: Sampler,
        measurements: Measurements,
        fleet: Fleet,
        log_dir: Path,
    ) -> None:
        self._lineup = lineup
        self._ports = ports
        self._want = want
        self._sampler = sampler
        self._measurements = measurements
        self._fleet = fleet
        self._log_dir = log_dir
        self._verified = set(lineup.served)

    @property
    def lineup(self) -> Lineup:
        """What runs."""
        return self._lineup

    @property
    def plan(self) -> PlacementPlan:
        """What it runs by; only where a plan is followed."""
        assert self._lineup.plan is not None
        return self._lineup.plan

    def leaving(self) -> frozenset[str]:
        """Engines that are still there, but not of the plan."""
        return frozenset(e.engine_id for e in self._fleet.snapshot.engines) - set(self._lineup.engine_ids)

    async def carry_out(self, plan: PlacementPlan, why: tuple[str, ...], trouble: tuple[str, ...] = ()) -> None:
        """From now on `plan` is what runs; its ids stand for one process each.

        Raises CatalogError where the weights of a model that is to start are not as they should be, and
        EngineStartError where ports are missing; nothing is changed then.
        """
        lineup = self._lineup.by(plan)
        new = {model_id: model for model_id, model in lineup.served.items() if model_id not in self._verified}
        await asyncio.to_thread(verify, lineup.settings, new)
        self._verified.update(new)
        present = frozenset(engine.engine_id for engine in self._fleet.snapshot.engines)
        specs = lineup.specs(self._ports.of(lineup.engine_ids, present))
        kept = {name: subject for name, subject in self._sampler.subjects.items() if name in present}
        self._lineup = lineup
        self._measurements.expect(lineup, specs)
        self._sampler.subjects = {**kept, **subjects_of(lineup, specs, self._log_dir)}
        self._want(specs)
        self._fleet.plan = PlanNote(time.time(), why, trouble)
        _log.warning("a new plan is carried out", why=why, reasons=plan.reasons)
        await asyncio.to_thread(write_plan, lineup.settings.data_dir, plan)
