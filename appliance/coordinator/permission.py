"""What a request may have under its tenant's policy and the labels of its data. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.coordinator.recorder import Identity
from appliance.domain.forecast import Reduction
from appliance.domain.policy import DataPolicy, Denial, Wish
from appliance.domain.request import ChatRequest
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import Tenant
from appliance.errors import NotAllowed

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Permitted:
    """The request with what it is granted and all labels of its data, and what holds for it.

    `strategies`: None allows all. `clipped` is what it asked for and does not get.
    """

    request: ChatRequest
    strategies: frozenset[str] | None
    keep_content: bool
    keep_days: int | None
    clipped: tuple[Reduction, ...]

    def kept(self, identity: Identity) -> Identity:
        """With the moment at which the trace is to be deleted."""
        if self.keep_days is None:
            return identity
        return replace(identity, delete_after_unix_s=identity.created_unix_s + self.keep_days * _DAY_S)


def permitted(policy: DataPolicy, tenant: Tenant, request: ChatRequest, *, named: bool) -> Permitted:
    """What the request may have; `named`: it asks for a model of the pool. Raises NotAllowed with the rule's name."""
    labels = tenant.labels | frozenset(request.labels)
    wish = Wish(request.max_tokens, request.effort, PASSTHROUGH if named else request.strategy)
    grant = policy.granted(tenant.policy, labels, wish)
    if isinstance(grant, Denial):
        raise NotAllowed(str(grant), param="model" if named and grant.param == "strategy" else grant.param)
    return Permitted(
        request=replace(
            request,
            labels=tuple(sorted(labels)),
            max_tokens=grant.wish.max_tokens,
            effort=grant.wish.effort,
            strategy=request.strategy if named else grant.wish.strategy,
        ),
        strategies=grant.strategies,
        keep_content=tenant.keep_content and grant.keep_content is not False,
        keep_days=grant.keep_days,
        clipped=grant.clipped,
    )
