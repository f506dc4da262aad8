"""Settings → the dispatcher."""

from __future__ import annotations

from appliance.config import Settings
from appliance.dispatch.breaker import BreakerLimits
from appliance.dispatch.dispatcher import ChatClient, Dispatcher
from appliance.dispatch.endpoint_picker import PickWeights
from appliance.dispatch.places import Manner
from appliance.dispatch.retry_budget import RetryBudget
from appliance.domain.fleet import Fleet
from appliance.domain.policy import DataPolicy


def dispatcher_of(settings: Settings, fleet: Fleet, client: ChatClient, policy: DataPolicy) -> Dispatcher:
    """One dispatcher over the fleet, as configured."""
    said = settings.dispatch
    return Dispatcher(
        fleet,
        client,
        policy=policy,
        manner=Manner(PickWeights(**said.weights.model_dump()), BreakerLimits(**said.breaker.model_dump())),
        retries=RetryBudget(said.retries.share, said.retries.most),
    )
