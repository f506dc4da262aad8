"""Constructs the control loop: the engines of a lineup and whoever keeps them running."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from appliance.bootstrap.control_loop import ControlLoop, ControlParts
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.engine_ports import EnginePorts
from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.measurements import Measurements
from appliance.bootstrap.pool import verify
from appliance.bootstrap.replanning import Replanning
from appliance.bootstrap.running_engines import RunningEngines, subjects_of
from appliance.config import Settings
from appliance.domain.engine import EngineSpec
from appliance.domain.fleet import Fleet
from appliance.engines.client import EngineClient, HttpEngineClient
from appliance.engines.launcher import Launcher, ProcessLauncher, vllm_commands
from appliance.engines.load import LoadReader
from appliance.engines.sampler import Sampler
from appliance.inventory.nvml import free_bytes
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.reconcile import RestartPolicy
from appliance.supervisor.supervisor import Supervisor
from appliance.supervisor.turns import TurnPolicy

LauncherMaker = Callable[[EngineClient], Launcher]
"""How a test puts another launcher into the house."""


def build_control_loop(
    lineup: Lineup,
    fleet: Fleet,
    held: ExitStack,
    *,
    tally: DemandTally | None = None,
    make_launcher: LauncherMaker | None = None,
    host: str = "127.0.0.1",
    adapt: Callable[[EngineSpec], EngineSpec] = lambda spec: spec,
) -> ControlLoop:
    """A control loop that has started nothing yet; `held` gives its ports back.

    The plan is made anew while it runs where the settings say so and there is a `tally` of the demand. Engines listen
    on `host`; `adapt` says what else is otherwise than planned. Raises ConfigError and EngineStartError.
    """
    settings = lineup.settings
    ports = held.enter_context(closing(EnginePorts(settings.engines.first_port, host)))
    specs = tuple(adapt(replace(spec, host=host)) for spec in lineup.specs(ports.of(lineup.engine_ids)))
    client, loads = HttpEngineClient(), LoadReader()
    launcher = (make_launcher or partial(_launcher, settings))(client)
    supervisor = _supervisor(settings, specs, launcher, client, fleet)
    measurements = Measurements(lineup, specs)
    subjects = subjects_of(lineup, specs, _engine_logs(settings))
    sampler = Sampler(fleet, subjects, loads.read, measurements, settings.engines.sample_every_s)
    return ControlLoop(
        ControlParts(
            data_dir=settings.data_dir,
            fleet=fleet,
            supervisor=supervisor,
            sampler=sampler,
            loads=loads,
            client=client,
            plan=lineup.plan,
            replanning=None if tally is None else _replanning(lineup, ports, supervisor, sampler, measurements, tally),
            notes=lineup.notes,
            verify=partial(verify, settings, lineup.served),
        )
    )


def _supervisor(
    settings: Settings, specs: tuple[EngineSpec, ...], launcher: Launcher, client: EngineClient, fleet: Fleet
) -> Supervisor:
    engines = settings.engines
    return Supervisor(
        specs,
        launcher,
        client,
        fleet,
        drain_timeout_s=engines.drain_timeout_s,
        restarts=RestartPolicy(max_parallel_starts=engines.max_parallel_starts),
        probes=ProbePolicy(every_s=engines.probe_every_s, silent_s=engines.probe_silent_s),
        turns=TurnPolicy(shortest_s=engines.turn_shortest_s, longest_s=engines.turn_longest_s),
        free_bytes=free_bytes,
    )


def _replanning(
    lineup: Lineup,
    ports: EnginePorts,
    supervisor: Supervisor,
    sampler: Sampler,
    measurements: Measurements,
    tally: DemandTally,
) -> Replanning | None:
    """Nothing where the pool is followed, or the plan is to be kept."""
    settings = lineup.settings
    if lineup.plan is None or not settings.placement.replan.enabled:
        return None
    engines = RunningEngines(
        lineup,
        ports=ports,
        want=supervisor.want,
        sampler=sampler,
        measurements=measurements,
        fleet=sampler.fleet,
        log_dir=_engine_logs(settings),
    )
    return Replanning(engines, sampler.fleet, tally, settings.placement.replan)


def _engine_logs(settings: Settings) -> Path:
    return settings.data_dir.resolve() / "logs" / "engines"


def _launcher(settings: Settings, client: EngineClient) -> ProcessLauncher:
    engines, data_dir = settings.engines, settings.data_dir.resolve()
    return ProcessLauncher(
        vllm_commands(engines.python, data_dir / "cache", os.environ, engines.drain_timeout_s),
        client,
        log_dir=_engine_logs(settings),
        state_dir=data_dir / "engines",
        start_timeout_s=engines.start_timeout_s,
    )
