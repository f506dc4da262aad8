"""Tokens (JWT) of the company's identity provider → tenants.

A token is taken when an issuer of the configuration signed it with a key of its own, by an algorithm that the
configuration names and that fits the kind of the key, for this audience, within its time. `none` and HMAC can't be
configured, so a public key can never be used as a secret.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from appliance.access.book import TenantBook
from appliance.access.jwks import KeySet, SigningKey
from appliance.domain.tenant import Scope, Tenant
from appliance.errors import AccessUnknown, NotAuthenticated

_KEY_TYPES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""First letters of an algorithm → the kind of key that it takes."""
_REMEMBERED: Final = 4_096
_LONGEST_CHARS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Issuer:
    """One identity provider; the fields are those of `config.access.IssuerSettings`."""

    issuer: str
    audience: tuple[str, ...]
    keys: KeySet
    algorithms: tuple[str, ...]
    leeway_s: float = 30.0
    tenant_claim: str = "tenant"
    tenants: Mapping[str, str] | None = None
    scope_claim: str = "scope"
    scopes: Mapping[str, frozenset[Scope]] = field(default_factory=dict)
    labels_claim: str | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """A token that was checked, as long as nothing that it was checked by changes."""

    tenant: Tenant
    issuer: Issuer
    ends_unix_s: float
    versions: tuple[int, int]


class _KeyNotKnown(Exception):
    """The issuer's keys have to be read, perhaps for the first time."""


class TokenReader:
    """Checks tokens; those that it has checked are remembered by their whole SHA-256 until they end."""

    def __init__(
        self, issuers: Sequence[Issuer], book: TenantBook, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._book = book
        self._wall_clock = wall_clock
        self._taken: dict[bytes, _Taken] = {}

    @staticmethod
    def may_be_one(bearer: bytes) -> bool:
        """Whether it looks like a token at all."""
        return bearer.startswith(b"eyJ") and bearer.count(b".") == 2

    def known(self, bearer: bytes) -> Tenant | None:
        """The tenant; None where the issuer's keys have to be read. Raises NotAuthenticated."""
        digest = hashlib.sha256(bearer).digest()
        taken = self._taken.get(digest)
        if taken is not None and self._holds(taken):
            self._book.ensure_fresh()
            return None if taken.issuer.keys.due else taken.tenant
        try:
            return self._checked(bearer, digest)
        except _KeyNotKnown:
            return None

    async def found(self, bearer: bytes) -> Tenant:
        """The tenant, after the issuer's keys were read again where the token's own is not among them."""
        issuer = self._issuer_of(bearer)
        if issuer.keys.due or self.known(bearer) is None:
            await issuer.keys.read_again()
        try:
            return self._checked(bearer, hashlib.sha256(bearer).digest())
        except _KeyNotKnown:
            if not issuer.keys.keys:
                raise AccessUnknown("the identity provider's keys can't be read; see the appliance's log") from None
            raise NotAuthenticated("the token is signed with a key that its issuer does not have") from None

    def _holds(self, taken: _Taken) -> bool:
        return taken.ends_unix_s > self._wall_clock() and taken.versions == self._versions()

    def _versions(self) -> tuple[int, int]:
        return self._book.version, sum(issuer.keys.version for issuer in self._issuers.values())

    def _checked(self, bearer: bytes, digest: bytes) -> Tenant:
        issuer = self._issuer_of(bearer)
        if issuer.keys.due:
            raise _KeyNotKnown
        claims = self._claims(bearer, issuer)
        tenant = self._tenant(claims, issuer)
        if len(self._taken) >= _REMEMBERED:
            self._taken.clear()
        self._taken[digest] = _Taken(tenant, issuer, float(claims["exp"]) + issuer.leeway_s, self._versions())
        return tenant

    def _issuer_of(self, bearer: bytes) -> Issuer:
        """By the claim as it stands there: it chooses the keys, and nothing else before the signature is checked."""
        if len(bearer) > _LONGEST_CHARS:
            raise NotAuthenticated("the token is too long")
        try:
            said = jwt.decode(bearer, options={"verify_signature": False}).get("iss")
        except (jwt.PyJWTError, ValueError):
            raise NotAuthenticated("the token can't be read") from None
        issuer = self._issuers.get(said) if isinstance(said, str) else None
        if issuer is None:
            raise NotAuthenticated("the token is not of an issuer that access.issuers names")
        return issuer

    def _claims(self, bearer: bytes, issuer: Issuer) -> dict[str, Any]:
        key, algorithm = _signing_key(bearer, issuer)
        options: Any = {"require": ["exp", "iss", "aud"], "verify_signature": True}
        try:
            return jwt.decode(
                bearer,
                key.key,
                algorithms=[algorithm],
                audience=list(issuer.audience),
                issuer=issuer.issuer,
                leeway=issuer.leeway_s,
                options=options,
            )
        except jwt.PyJWTError as error:
            raise NotAuthenticated(f"the token is not valid: {_reason(error)}") from None

    def _tenant(self, claims: Mapping[str, Any], issuer: Issuer) -> Tenant:
        said = _claim(claims, issuer.tenant_claim)
        if not isinstance(said, str) or not said:
            raise NotAuthenticated(f"the token has no claim {issuer.tenant_claim} that names a tenant")
        name = said if issuer.tenants is None else issuer.tenants.get(said)
        if name is None:
            raise NotAuthenticated(
                f"the token's {issuer.tenant_claim} is not one that access.issuers knows a tenant of"
            )
        words = _words(_claim(claims, issuer.scope_claim))
        scopes = frozenset(scope for word in words for scope in issuer.scopes.get(word, ()))
        labels = frozenset(_words(_claim(claims, issuer.labels_claim)) if issuer.labels_claim else ())
        subject = str(claims.get("sub", ""))[:100]
        return self._book.tenant(name, scopes, labels, f"token of {subject or 'nobody named'}")


def _signing_key(bearer: bytes, issuer: Issuer) -> tuple[SigningKey, str]:
    """The one key of the issuer that the token's head names, and its algorithm, which has to fit it."""
    try:
        head = jwt.get_unverified_header(bearer)
    except jwt.PyJWTError:
        raise NotAuthenticated("the token can't be read") from None
    algorithm, key_id = head.get("alg"), head.get("kid")
    if algorithm not in issuer.algorithms:
        raise NotAuthenticated("the token is signed by an algorithm that access.issuers does not name")
    if head.get("crit") is not None or head.get("b64") is False:
        raise NotAuthenticated("the token asks for an extension that is not supported")
    fitting = [
        key
        for key in issuer.keys.keys
        if key.key_type == _KEY_TYPES[algorithm[:2]]
        and key.algorithm in (None, algorithm)
        and (key_id is None or key.key_id == key_id)
    ]
    if not fitting:
        raise _KeyNotKnown
    if len(fitting) > 1:
        raise NotAuthenticated("the token does not say which of its issuer's keys it is signed with (kid)")
    return fitting[0], algorithm


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may have dots itself, else by a path of names."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _words(said: Any) -> list[str]:
    if isinstance(said, str):
        return said.split()
    return [word for word in said if isinstance(word, str)] if isinstance(said, list) else []


def _reason(error: jwt.PyJWTError) -> str:
    known: dict[type[jwt.PyJWTError], str] = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.InvalidAudienceError: "it is for another audience",
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.ImmatureSignatureError: "its time has not come",
        jwt.MissingRequiredClaimError: "it lacks a claim (exp, iss and aud are needed)",
    }
    return known.get(type(error), "it can't be read")
