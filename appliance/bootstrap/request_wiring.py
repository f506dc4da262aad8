"""Constructs the request path: gateway, coordinator, dispatcher and what they keep."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from appliance.bootstrap.access import build_authenticator, build_keeper, open_ledger
from appliance.bootstrap.auditing import open_audit
from appliance.bootstrap.demand_tally import DemandTally
from appliance.bootstrap.dispatching import dispatcher_of
from appliance.bootstrap.interrupted import save_interrupted, save_unrecorded
from appliance.bootstrap.learned_head import learned_chooser
from appliance.bootstrap.ledger import open_books
from appliance.bootstrap.lineup import Lineup
from appliance.bootstrap.listings import model_listings
from appliance.bootstrap.model_priors import model_priors
from appliance.bootstrap.options import coordinator_options, tool_callers
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.relaying import fast_path
from appliance.bootstrap.request_path import RequestParts, RequestPath
from appliance.bootstrap.server import HttpServer
from appliance.bootstrap.share import ALONE, Share
from appliance.bootstrap.strategies import load_strategies
from appliance.bootstrap.traces import CountedTraces, ExportedUsage
from appliance.bootstrap.verifier_calibrations import measured_thresholds
from appliance.config import Settings
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.prompts import prompt_sets_of
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.fleet import Fleet
from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import DEFAULT
from appliance.domain.trace import Trace
from appliance.engines.client import HttpEngineClient
from appliance.gateway.app import GatewayParts
from appliance.gateway.app import build as build_gateway
from appliance.gateway.openai.body import RequestLimits
from appliance.ledger.journal import JournalFile
from appliance.telemetry.metrics import Metrics


def build_request_path(
    lineup: Lineup,
    fleet: Fleet,
    listener: socket.socket,
    held: ExitStack,
    *,
    salt_secret: bytes,
    share: Share = ALONE,
    all_metrics: Callable[[bytes], Awaitable[bytes]] | None = None,
) -> RequestPath:
    """A request path that answers nothing yet, over the engines that somebody else writes into `fleet`.

    `held` closes what it opens. `all_metrics`: this process' own → those of all workers. Raises ConfigError.
    """
    settings, models = lineup.settings, lineup.models
    client, policy = HttpEngineClient(), data_policy(settings, models)
    metrics = Metrics(models=list(models), fleet=fleet, classes=[DEFAULT, *policy.policies])
    ledger = held.enter_context(closing(open_ledger(settings)))
    authenticator, book = build_authenticator(settings, policy, ledger)
    books = open_books(settings, ledger, fleet, lineup.cards, metrics.ledger_failed)
    tally = DemandTally(settings.coordinator.virtual_model)
    export = _export(settings, metrics, held)
    counted = CountedTraces(books.traces, metrics, tally, export)
    usage = books.usage if export is None else ExportedUsage(books.usage, export)
    journal = held.enter_context(closing(JournalFile(share.journal_file(settings), metrics.journal_failed)))
    held.callback(lambda: books.usage.settle().result())  # which tears pages out of the journal
    dispatcher = dispatcher_of(settings, fleet, client, policy)
    metrics.watch_lines(dispatcher.lines.levels, dispatcher.lines.longest_waits_s)
    coordinator = _coordinator(lineup, dispatcher, policy, counted, journal, salt_secret)
    opened = open_audit(settings, held, metrics.audit_failed, worker=share.number)
    keeper = build_keeper(settings, coordinator.limits, ledger)
    relay = fast_path(
        settings,
        models,
        coordinator,
        dispatcher,
        policy,
        authenticator,
        metrics,
        usage,
        journal,
        opened.audit,
        salt_secret,
    )
    app = build_gateway(
        GatewayParts(
            answerer=coordinator,
            forecaster=coordinator,
            traces=books.traces,
            usage=books.usage,
            fleet=fleet,
            metrics=metrics,
            all_metrics=all_metrics,
            authenticator=authenticator,
            role_models=settings.role_models(),
            models=model_listings(settings, models),
            max_body_bytes=settings.server.max_body_bytes,
            keep_alive_s=settings.server.keep_alive_s,
            open_paths=frozenset(settings.server.open_paths),
            rate_limits=coordinator.limits.headers,
            limits=RequestLimits(settings.server.max_choices, settings.server.max_images),
            audit=opened.audit,
            relay=None if relay is None else relay.parts,
        ),
        version=version("appliance"),
    )
    return RequestPath(
        RequestParts(
            server=HttpServer(app, listener, settings.server.drain_timeout_s, settings.server.tls),
            coordinator=coordinator,
            dispatcher=dispatcher,
            client=client,
            relay=relay,
            tally=tally,
            metrics=metrics,
            upkeep=books.upkeep if share.first else None,
            background=(books.energy.run, keeper.run, *([book.run] if book is not None else [])),
            save_left=(
                partial(save_interrupted, journal, books.traces, counted, usage, share.left_journals(settings)),
                partial(save_unrecorded, opened.left, books.traces, counted, usage),
            ),
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
    prompt_sets = prompt_sets_of(models)
    options = coordinator_options(settings)
    thresholds = measured_thresholds(settings.data_dir, models, prompt_sets)
    return Coordinator(
        replace(
            options,
            roles=replace(options.roles, tool_callers=tool_callers(settings, models)),
            families={model_id: model.family for model_id, model in models.items()},
            tasks={model_id: model.task for model_id, model in models.items()},
            image_readers=frozenset(model_id for model_id, model in models.items() if model.reads_images),
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
        learned=learned_chooser(settings, models),
    )
