"""Constructs the fast path: requests that name a model of the pool, carried to an engine without being taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from appliance.config import Settings
from appliance.coordinator.coordinator import Coordinator
from appliance.coordinator.options import PASSTHROUGH_LIMITS
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.audit import Audit
from appliance.domain.endpoint import EngineTask
from appliance.domain.journal import NO_JOURNAL, Journal
from appliance.domain.model import Model
from appliance.domain.policy import DataPolicy
from appliance.domain.usage import PassThroughSink
from appliance.engines.relay_client import RelayClient
from appliance.gateway.auth import Authenticator
from appliance.gateway.openai import schema
from appliance.gateway.openai.body import RequestLimits
from appliance.gateway.relay.accounts import RelayAccounts
from appliance.gateway.relay.carrier import Carrier
from appliance.gateway.relay.passage import Rounds
from appliance.gateway.relay.relay import RelayParts
from appliance.gateway.relay.wish import Understood
from appliance.telemetry.logs import RequestLines
from appliance.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class FastPath:
    """What the gateway gets, and how it is ended."""

    parts: RelayParts
    client: RelayClient
    rounds: Rounds

    async def close(self) -> None:
        """When the server answers no more."""
        self.rounds.close()
        await self.client.close()


def fast_path(
    settings: Settings,
    models: Mapping[str, Model],
    coordinator: Coordinator,
    dispatcher: Dispatcher,
    policy: DataPolicy,
    authenticator: Authenticator,
    metrics: Metrics,
    sink: PassThroughSink,
    journal: Journal,
    audit: Audit,
    salt_secret: bytes,
) -> FastPath | None:
    """The fast path, on the accounts of the ordinary one; None where the configuration wants none."""
    if not settings.server.fast_path:
        return None
    lines = RequestLines("appliance.gateway.relay")
    client, rounds = RelayClient(), Rounds(settings.server.keep_alive_s, lines.write)
    limits = RequestLimits(settings.server.max_choices, settings.server.max_images)
    # A required record is in the chain before the first byte leaves: the journal need not be told too.
    accounts = RelayAccounts(metrics, sink, lines, NO_JOURNAL if settings.ledger.audit.mode == "required" else journal)
    carrier = Carrier(dispatcher, client, coordinator.limits, accounts, rounds, audit)
    parts = RelayParts(
        dispatcher=dispatcher,
        authenticator=authenticator,
        limits=coordinator.limits,
        policy=policy,
        carrier=carrier,
        understood=Understood(relayed_models(models), limits.choices, partial(schema.parse, limits=limits)),
        salt_secret=salt_secret,
        max_body_bytes=settings.server.max_body_bytes,
        wall_s=PASSTHROUGH_LIMITS.wall_s,
    )
    return FastPath(parts, client, rounds)


def relayed_models(models: Mapping[str, Model]) -> frozenset[str]:
    """Models whose answers go to callers as the engine gives them.

    Those that think in a field of its own have to say it under two names, so their answers are written anew.
    """
    return frozenset(
        model_id
        for model_id, model in models.items()
        if model.task is EngineTask.GENERATE and model.reasoning_parser is None
    )
