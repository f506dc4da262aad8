"""The fast path as a plain ASGI application around the ordinary one.

`__call__` → `_taken` (is it certainly understood, and is there room now?) → `Carrier.carry` (to the engine and back).
Whatever is not taken goes on to the ordinary route as if nobody had looked: it gives the errors, waits in line, and
plans. Where it leads and why it exists beside the ordinary route: docs/gateway.md.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.access.limits import Admitted, Limits
from appliance.dispatch.breaker import Sign
from appliance.dispatch.dispatcher import Dispatcher
from appliance.dispatch.places import Place, Under
from appliance.dispatch.prefix import prefix_of_messages, prefix_of_text
from appliance.domain.policy import DataPolicy, Grant
from appliance.domain.policy import Wish as PolicyWish
from appliance.domain.strategy import PASSTHROUGH
from appliance.domain.tenant import Tenant
from appliance.engines.relay_client import carries
from appliance.errors import RequestError
from appliance.gateway import scopes
from appliance.gateway.auth import Authenticator, presented
from appliance.gateway.middleware.request_ids import sane_request_id, sane_traceparent
from appliance.gateway.relay.at_once import at_once
from appliance.gateway.relay.carrier import Carrier
from appliance.gateway.relay.course import Load
from appliance.gateway.relay.wish import CHAT, TEXT, Understood, Wish, wish_of

_PATHS: Final = frozenset({CHAT, TEXT})
_GRANTS_KEPT: Final = 4_096


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What the fast path needs of the house. `paths` are those that it takes; none turns it off."""

    dispatcher: Dispatcher
    authenticator: Authenticator
    limits: Limits
    policy: DataPolicy
    carrier: Carrier
    understood: Understood
    salt_secret: bytes
    max_body_bytes: int
    wall_s: float
    paths: frozenset[str] = _PATHS


@dataclass(slots=True)
class _Caller:
    """Who asks, by the headers alone."""

    tenant: Tenant
    request_id: bytes
    traceparent: bytes


class Relay:
    """Takes what it certainly understands, and leaves the rest."""

    def __init__(self, app: ASGIApp, *, parts: RelayParts, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._parts = parts
        self._clock = clock
        self._salts: dict[str, str] = {}
        self._granted: dict[tuple[str, frozenset[str], int | None], bool] = {}

    def may_take(self, scope: Scope) -> bool:
        """Whether a request is worth looking at."""
        return scope["path"] in self._parts.paths and scope["method"] == "POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, for requests that it may take."""
        started_s = self._clock()
        caller = self._caller(scope)
        if caller is None:
            await self._app(scope, receive, send)
            return
        heard, body = await _heard(receive, self._parts.max_body_bytes)
        load = None if body is None else self._taken(scope["path"], caller, body, started_s)
        if load is None:
            await self._app(scope, _again(heard, receive), send)
        else:
            await self._parts.carrier.carry(load, receive, send, at_once(scope))

    def _caller(self, scope: Scope) -> _Caller | None:
        """None where a header is unusual, or the caller would have to be looked up or refused."""
        request_id = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                if len(value) > 12 or not value.isdigit() or int(value) > self._parts.max_body_bytes:
                    return None
            elif name == b"x-request-id":
                request_id = request_id or value
            elif name == b"traceparent":
                traceparent = traceparent or value
            elif name == b"content-encoding":
                return None
        try:
            tenant = self._parts.authenticator.known(presented(scope))
            if tenant is None:
                return None
            scopes.check(tenant, scope["path"])
        except RequestError:
            return None
        return _Caller(tenant, request_id, traceparent)

    def _taken(self, path: str, caller: _Caller, body: bytes, started_s: float) -> Load | None:
        """What is to be carried, with a place on an engine; None leaves the request to the ordinary route.

        1. Every field of the body is understood.
        2. The tenant's policy allows it as it is, and nothing of its content is to be kept.
        3. An engine has room now, and nobody waits for the model.
        4. The tenant's limits admit it.
        """
        parts, tenant = self._parts, caller.tenant
        wish = wish_of(path, body, parts.understood)
        if wish is None or not self._allowed(tenant, wish):
            return None
        salt, under = self._salt(tenant.name), Under(tenant.labels, tenant.policy)
        prefix = self._prefix(path, wish, salt)
        place = self._place(wish.model, under, prefix)
        if place is None:
            return None
        admitted = parts.limits.admit_freely(tenant)
        if admitted is None:
            limited = parts.limits.admit(tenant, self._most_tokens(wish), self._clock())
            if not isinstance(limited, Admitted):
                place.leave(Sign.NOTHING)
                return None
            admitted = limited
        wish.down["cache_salt"] = salt
        return Load(
            path=path,
            tenant=tenant,
            wish=wish,
            under=under,
            prefix=prefix,
            place=place,
            admitted=admitted,
            request_id=sane_request_id(caller.request_id.decode("latin-1")) if caller.request_id else None,
            traceparent=sane_traceparent(caller.traceparent.decode("latin-1")) if caller.traceparent else None,
            started_s=started_s,
            deadline_s=started_s + parts.wall_s,
            body=body,
        )

    def _allowed(self, tenant: Tenant, wish: Wish) -> bool:
        """Whether the policy lets it through unchanged, and no content is kept, which only the ordinary route does."""
        key = tenant.policy, tenant.labels, wish.max_tokens
        known = self._granted.get(key)
        if known is None:
            if len(self._granted) >= _GRANTS_KEPT:
                self._granted.clear()
            wanted = PolicyWish(wish.max_tokens, strategy=PASSTHROUGH)
            grant = self._parts.policy.granted(tenant.policy, tenant.labels, wanted)
            known = isinstance(grant, Grant) and grant.keep_days is None and grant.wish == wanted
            self._granted[key] = known
        return known and not tenant.keep_content

    def _prefix(self, path: str, wish: Wish, salt: str) -> int | None:
        """The name of the conversation, where it makes a difference."""
        if not self._parts.dispatcher.prefix_matters(wish.model):
            return None
        down = wish.down
        return prefix_of_messages(salt, down["messages"]) if path == CHAT else prefix_of_text(salt, down["prompt"])

    def _place(self, model: str, under: Under, prefix: int | None) -> Place | None:
        try:
            place = self._parts.dispatcher.place_now(model, under, prefix)
        except RequestError:
            return None
        if place is not None and not carries(place.engine):
            place.leave(Sign.NOTHING)
            return None
        return place

    def _most_tokens(self, wish: Wish) -> int:
        """What the call may take at the very most: no more than the model's context."""
        context = self._parts.dispatcher.context_tokens(wish.model)
        if context is None:
            return wish.prompt_tokens_estimate + (wish.max_tokens or 0)
        return context if wish.max_tokens is None else min(wish.prompt_tokens_estimate + wish.max_tokens, context)

    def _salt(self, tenant: str) -> str:
        """Keeps tenants apart in the engines' prefix caches; the same as the coordinator's."""
        salt = self._salts.get(tenant)
        if salt is None:
            salt = hmac.new(self._parts.salt_secret, tenant.encode(), hashlib.sha256).hexdigest()
            self._salts[tenant] = salt
        return salt


async def _heard(receive: Receive, max_bytes: int) -> tuple[list[Message], bytes | None]:
    """What was received, and the whole body, where there is one that is not too long."""
    message = await receive()
    heard = [message]
    if message["type"] == "http.request" and not message.get("more_body", False):
        body = message.get("body", b"")
        return heard, body if len(body) <= max_bytes else None
    received = len(message.get("body", b""))
    while message["type"] == "http.request" and message.get("more_body", False) and received <= max_bytes:
        message = await receive()
        heard.append(message)
        received += len(message.get("body", b""))
    if message["type"] != "http.request" or received > max_bytes:
        return heard, None
    return heard, b"".join(part.get("body", b"") for part in heard)


def _again(heard: list[Message], receive: Receive) -> Receive:
    """Says again what was heard, then goes on."""
    waiting = iter(heard)

    async def replayed() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return replayed
