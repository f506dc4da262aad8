"""Constructs everything from the settings and hands each part what it needs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from appliance.bootstrap.appliance import Appliance, Parts
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.engine_ports import EnginePorts
from appliance.bootstrap.interrupted import save_interrupted
from appliance.bootstrap.ledger import ledger_place
from appliance.bootstrap.lineup import Lineup, decide
from appliance.bootstrap.measurements import Measurements
from appliance.bootstrap.model_priors import model_priors
from appliance.bootstrap.options import coordinator_options, tool_callers
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.pool import verify
from appliance.bootstrap.replanning import Replanning
from appliance.bootstrap.running_engines import RunningEngines, subjects_of
from appliance.bootstrap.server import HttpServer, listen
from appliance.bootstrap.strategies import load_strategies
from appliance.bootstrap.traces import CountedTraces
from appliance.bootstrap.verifier_calibrations import measured_thresholds
from appliance.config import Settings
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.prompts import load_prompt_sets
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.engine import EngineSpec
from appliance.domain.fleet import Fleet
from appliance.domain.model import Model
from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace
from appliance.engines.client import EngineClient, HttpEngineClient
from appliance.engines.launcher import Launcher, ProcessLauncher, vllm_commands
from appliance.engines.load import LoadReader
from appliance.engines.sampler import Sampler
from appliance.gateway.app import GatewayParts
from appliance.gateway.app import build as build_gateway
from appliance.gateway.auth import Authenticator, KeyRing, OpenDoor, read_or_make_keys
from appliance.gateway.openai.models import ModelListing
from appliance.inventory.nvml import free_bytes
from appliance.ledger.database import Database
from appliance.ledger.journal import JournalFile
from appliance.ledger.trace_store import TraceStore
from appliance.supervisor.probe import ProbePolicy
from appliance.supervisor.reconcile import RestartPolicy
from appliance.supervisor.supervisor import Supervisor
from appliance.supervisor.turns import TurnPolicy
from appliance.telemetry.metrics import Metrics

LauncherMaker = Callable[[EngineClient], Launcher]
"""How a test puts another launcher into the house."""

_TENANT = "default"


def build(settings: Settings, *, make_launcher: LauncherMaker | None = None) -> Appliance:
    """An appliance that holds its data directory and its port, and has started nothing yet.

    Raises AlreadyRunning, ConfigError and CatalogError; nothing is held then.
    """
    with ExitStack() as held:
        held.enter_context(locked(settings.data_dir))
        listener = held.enter_context(listen(settings.server.host, settings.server.port))
        lineup = decide(settings)
        settings, models = lineup.settings, lineup.models
        ports = held.enter_context(closing(EnginePorts(settings.engines.first_port)))
        specs = lineup.specs(ports.of(lineup.engine_ids))
        ledger = held.enter_context(closing(Database(ledger_place(settings, os.environ))))
        authenticator = _authenticator(settings)
        fleet, client, loads = Fleet(), HttpEngineClient(), LoadReader()
        metrics = Metrics(models=list(models), fleet=fleet)
        policy = data_policy(settings, models)
        traces, tally = TraceStore(ledger), DemandTally(settings.coordinator.virtual_model)
        counted = CountedTraces(traces, metrics, tally, _export(settings, metrics, held))
        journal = held.enter_context(
            closing(JournalFile(settings.below_data_dir(settings.ledger.journal_file), metrics.journal_failed))
        )
        dispatcher = Dispatcher(fleet, client, policy=policy)
        metrics.watch_lines(dispatcher.lines.levels, dispatcher.lines.longest_waits_s)
        coordinator = _coordinator(lineup, dispatcher, policy, counted, journal)
        app = build_gateway(
            GatewayParts(
                answerer=coordinator,
                forecaster=coordinator,
                traces=traces,
                fleet=fleet,
                metrics=metrics,
                authenticator=authenticator,
                role_models=settings.role_models(),
                models=_listings(settings, models),
                max_body_bytes=settings.server.max_body_bytes,
                keep_alive_s=settings.server.keep_alive_s,
            ),
            version=version("appliance"),
        )
        launcher = (make_launcher or partial(_launcher, settings))(client)
        supervisor = _supervisor(settings, specs, launcher, client, fleet)
        measurements = Measurements(lineup, specs)
        subjects = subjects_of(lineup, specs, _engine_logs(settings))
        sampler = Sampler(fleet, subjects, loads.read, measurements, settings.engines.sample_every_s)
        parts = Parts(
            data_dir=settings.data_dir,
            api_key_file=_key_file(settings) if settings.server.require_api_key else None,
            keep_days=settings.ledger.keep_days,
            fleet=fleet,
            server=HttpServer(app, listener),
            coordinator=coordinator,
            supervisor=supervisor,
            sampler=sampler,
            loads=loads,
            plan=lineup.plan,
            replanning=_replanning(lineup, ports, supervisor, sampler, measurements, tally),
            notes=lineup.notes,
            client=client,
            traces=traces,
            save_interrupted=partial(save_interrupted, journal, traces, counted),
            verify=partial(verify, settings, lineup.served),
            release=held.pop_all().close,
        )
    return Appliance(parts)


def _export(settings: Settings, metrics: Metrics, held: ExitStack) -> Callable[[Trace], None] | None:
    """Where traces go besides the ledger; `held` ends it."""
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return None
    # OpenTelemetry takes 200 ms to import, which only those shall pay who want it.
    from appliance.telemetry.tracing import Exporter

    exporter = Exporter(endpoint, version("appliance"), metrics)
    held.callback(exporter.close)
    return exporter.offer


def _coordinator(
    lineup: Lineup,
    dispatcher: Dispatcher,
    policy: DataPolicy,
    traces: CountedTraces,
    journal: JournalFile,
) -> Coordinator:
    settings, models = lineup.settings, lineup.models
    sets = load_prompt_sets(model.prompt_set for model in models.values())
    prompt_sets = {model_id: sets[model.prompt_set] for model_id, model in models.items()}
    options = coordinator_options(settings)
    thresholds = measured_thresholds(settings.data_dir, models, prompt_sets)
    return Coordinator(
        replace(
            options,
            roles=replace(options.roles, tool_callers=tool_callers(settings, models)),
            families={model_id: model.family for model_id, model in models.items()},
            verification=replace(options.verification, thresholds=thresholds),
        ),
        prompt_sets,
        dispatcher,
        traces,
        load_strategies(settings),
        salt_secret=secrets.token_bytes(32),
        priors=model_priors(lineup),
        policy=policy,
        journal=journal,
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


def _authenticator(settings: Settings) -> Authenticator:
    tenant = Tenant(_TENANT, settings.ledger.keep_content, frozenset(settings.policy.default_labels))
    if not settings.server.require_api_key:
        return OpenDoor(tenant)
    return KeyRing(read_or_make_keys(_key_file(settings)), tenant)


def _key_file(settings: Settings) -> Path:
    return settings.below_data_dir(settings.server.api_key_file)


def _listings(settings: Settings, models: Mapping[str, Model]) -> list[ModelListing]:
    """The virtual model first, then the pool's in the order of the configuration."""
    skills = dict.fromkeys(settings.roles.executors, 1.0)
    roles = tuple(role for role, played in settings.role_models().items() if played)
    virtual = ModelListing(
        model_id=settings.coordinator.virtual_model,
        owned_by="appliance",
        virtual=True,
        description="the coordinator: answers directly, or plans, executes and verifies",
        roles=roles,
        skills=skills,
    )
    lengths = {member.model: member.engine.max_model_len for member in settings.pool}
    return [virtual, *(_listing(model, lengths[model_id]) for model_id, model in models.items())]


def _listing(model: Model, max_model_len: int) -> ModelListing:
    return ModelListing(
        model_id=model.model_id,
        owned_by=model.publisher,
        licence=model.licence,
        description=model.description,
        max_model_len=max_model_len,
        roles=tuple(sorted(role.value for role in model.roles)),
        skills=dict(model.skills),
    )
