"""Constructs the request path: gateway, coordinator, dispatcher and what they keep."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from appliance.bootstrap.access import build_authenticator, open_ledger
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.interrupted import save_interrupted
from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.model_priors import model_priors
from appliance.bootstrap.options import coordinator_options, tool_callers
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.request_path import RequestParts, RequestPath
from appliance.bootstrap.server import HttpServer
from appliance.bootstrap.strategies import load_strategies
from appliance.bootstrap.traces import CountedTraces
from appliance.bootstrap.verifier_calibrations import measured_thresholds
from appliance.config import Settings
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.prompts import load_prompt_sets
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.fleet import Fleet
from appliance.domain.model import Model
from appliance.domain.policy import DataPolicy
from appliance.domain.trace import Trace
from appliance.engines.client import HttpEngineClient
from appliance.gateway.app import GatewayParts
from appliance.gateway.app import build as build_gateway
from appliance.gateway.openai.models import ModelListing
from appliance.ledger.journal import JournalFile
from appliance.ledger.trace_store import TraceStore
from appliance.telemetry.metrics import Metrics


def build_request_path(
    lineup: Lineup, fleet: Fleet, listener: socket.socket, held: ExitStack, *, salt_secret: bytes
) -> RequestPath:
    """A request path that answers nothing yet, over the engines that somebody else writes into `fleet`.

    `held` closes what it opens. Raises ConfigError.
    """
    settings, models = lineup.settings, lineup.models
    client, metrics = HttpEngineClient(), Metrics(models=list(models), fleet=fleet)
    policy = data_policy(settings, models)
    ledger = held.enter_context(closing(open_ledger(settings)))
    authenticator, book = build_authenticator(settings, policy, ledger)
    traces, tally = TraceStore(ledger), DemandTally(settings.coordinator.virtual_model)
    counted = CountedTraces(traces, metrics, tally, _export(settings, metrics, held))
    journal = held.enter_context(
        closing(JournalFile(settings.below_data_dir(settings.ledger.journal_file), metrics.journal_failed))
    )
    dispatcher = Dispatcher(fleet, client, policy=policy)
    metrics.watch_lines(dispatcher.lines.levels, dispatcher.lines.longest_waits_s)
    coordinator = _coordinator(lineup, dispatcher, policy, counted, journal, salt_secret)
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
            rate_limits=coordinator.limits.headers,
            open_paths=frozenset(settings.server.open_paths),
        ),
        version=version("appliance"),
    )
    return RequestPath(
        RequestParts(
            server=HttpServer(app, listener, settings.server.tls),
            coordinator=coordinator,
            dispatcher=dispatcher,
            client=client,
            traces=traces,
            tally=tally,
            metrics=metrics,
            keep_days=settings.ledger.keep_days,
            book=book,
            save_interrupted=partial(save_interrupted, journal, traces, counted),
        )
    )


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
    salt_secret: bytes,
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
        salt_secret=salt_secret,
        priors=model_priors(lineup),
        policy=policy,
        journal=journal,
    )


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
