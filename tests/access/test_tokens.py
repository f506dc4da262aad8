"""Tokens of an identity provider: what lets in, and every known way of getting in without."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from appliance.access.jwks import KeySet, from_file, from_url, parse
from appliance.access.tokens import Issuer, TokenReader
from appliance.domain.tenant import Scope, Tenant
from appliance.errors import AccessUnknown, ConfigError, NotAuthenticated
from tests.access.house import NOW, Ledger, Moment, ledger

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None, **more: str) -> dict[str, Any]:
    kind: Any = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((found for of, found in kind.items() if isinstance(key, of)), OKPAlgorithm)
    document = json.loads(algorithm.to_jwk(key.public_key()))
    return {name: value for name, value in (document | {"kid": kid} | more).items() if value is not None}


@dataclass(slots=True)
class Provider:
    """An identity provider: its keys now, and how often they were read."""

    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk(RSA, "r1"), jwk(EC, "e1")])
    reads: int = 0
    down: bool = False

    async def __call__(self) -> bytes:
        self.reads += 1
        if self.down:
            raise OSError("down")
        return json.dumps({"keys": self.keys}).encode()


@dataclass(slots=True)
class Door:
    provider: Provider
    reader: TokenReader
    moment: Moment
    kept: Ledger
    issuer: Issuer

    def enter(self, token: str | bytes) -> Tenant:
        given = token if isinstance(token, bytes) else token.encode()
        return self.reader.known(given) or asyncio.run(self.reader.found(given))


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    with ledger(tmp_path / "ledger.sqlite") as kept:
        kept.tenant("acme")
        provider, moment = Provider(), kept.moment
        issuer = Issuer(
            issuer="https://idp",
            audience=("appliance", "appliance-2"),
            keys=KeySet(provider, 300, "https://idp", clock=moment),
            algorithms=("RS256", "ES256", "EdDSA"),
            tenants={"team-a": "acme"},
            tenant_claim="org.team",
            scope_claim="roles",
            scopes={"llm": frozenset({Scope.INFERENCE}), "ops": frozenset({Scope.METRICS, Scope.TRACES})},
            labels_claim="labels",
        )
        book = kept.book(clock=lambda: NOW)
        _stand_still(monkeypatch, moment)
        yield Door(provider, TokenReader([issuer], book, moment), moment, kept, issuer)


def _stand_still(monkeypatch: pytest.MonkeyPatch, moment: Moment) -> None:
    """PyJWT looks at its own clock."""
    from datetime import UTC, datetime

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(moment.now_s, tz or UTC)

    monkeypatch.setattr("jwt.api_jwt.datetime", Clock)


def claims(**more: Any) -> dict[str, Any]:
    said = {"iss": "https://idp", "aud": "appliance", "exp": NOW + 600, "sub": "billing", "org": {"team": "team-a"}}
    return {key: value for key, value in (said | {"roles": ["llm", "unheard"]} | more).items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r1", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={"kid": kid} if kid else None)


def test_a_token_is_its_tenant_with_mapped_scopes_and_labels(door: Door) -> None:
    tenant = door.enter(token(roles="llm ops", labels=["secret"]))
    assert (tenant.name, tenant.credential) == ("acme", "token of billing")
    assert tenant.scopes == frozenset({Scope.INFERENCE, Scope.METRICS, Scope.TRACES})
    assert tenant.labels == frozenset({"secret"})
    assert door.enter(token(EC, "ES256", "e1", aud=["x", "appliance-2"])).scopes == frozenset({Scope.INFERENCE})


def test_a_known_token_needs_no_second_look(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    given = token().encode()
    door.enter(given)
    monkeypatch.setattr(jwt, "decode", None)
    assert door.reader.known(given) is not None
    assert door.provider.reads == 1


def test_it_counts_no_longer_when_its_time_its_tenant_or_its_key_is_gone(door: Door) -> None:
    given = token()
    door.enter(given)
    door.moment.now_s += 629
    door.enter(given)
    door.moment.now_s += 2
    with pytest.raises(NotAuthenticated, match="expired"):
        door.enter(given)
    given = token(exp=NOW + 90_000)
    door.enter(given)
    door.kept.store.disable("acme")
    asyncio.run(door.reader._book.look())
    with pytest.raises(NotAuthenticated, match="disabled"):
        door.enter(given)
    door.kept.store.disable("acme", disabled=False)
    asyncio.run(door.reader._book.look())
    door.enter(given)
    door.provider.keys = [jwk(EC, "e1")]
    door.moment.now_s += 301
    asyncio.run(door.issuer.keys.read_again())
    with pytest.raises(NotAuthenticated, match="does not have"):
        door.enter(given)


def b64(document: object) -> str:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(head: dict[str, Any], signature: bytes = b"") -> str:
    return f"{b64(head)}.{b64(claims())}.{b64(signature)}"


def signed_with_the_public_key(head: dict[str, Any]) -> str:
    """HMAC with the issuer's public key as the secret."""
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = f"{b64(head)}.{b64(claims())}"
    return f"{body}.{b64(hmac.digest(public, body.encode(), hashlib.sha256))}"


def cut(given: str) -> str:
    head, body, signature = given.split(".")
    raw = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{b64(raw | {'org': {'team': 'team-b'}})}.{signature}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (unsigned({"alg": "none"}), "algorithm"),
        (unsigned({"alg": "None", "kid": "r1"}), "algorithm"),
        (unsigned({"alg": "RS256", "kid": "r1"}), "not valid"),
        (signed_with_the_public_key({"alg": "HS256", "kid": "r1"}), "algorithm"),
        (signed_with_the_public_key({"alg": "RS256", "kid": "r1"}), "not valid"),
        (unsigned({"alg": "ES256", "kid": "r1"}, b"\0" * 64), "does not have"),
        (unsigned({"alg": "ES256", "kid": "e1"}, b"\0" * 64), "not valid"),
        (unsigned({"alg": "RS256", "kid": "r1", "crit": ["x"], "x": 1}), "extension|can't be read"),
        (token(OTHER), "signature is wrong"),
        (token(OTHER, kid="r2"), "does not have"),
        (token(algorithm="RS512"), "algorithm"),
        (token(ED, "EdDSA", "r1"), "does not have"),
        (cut(token()), "signature is wrong"),
        (token(exp=NOW - 31), "expired"),
        (token(nbf=NOW + 31), "its time has not come"),
        (token(exp=None), "lacks a claim"),
        (token(aud=None), "lacks a claim|audience"),
        (token(aud="other"), "another audience"),
        (token(iss="https://idp/"), "not of an issuer"),
        (token(iss=None), "not of an issuer"),
        (token(org={"team": "team-b"}), "not one that access.issuers knows"),
        (token(org="team-a"), "no claim org.team"),
        (token(org={"team": ["team-a"]}), "no claim org.team"),
        ("eyJ.x.y", "can't be read"),
        ("eyJ" + "a" * 20_000 + ".b.c", "too long"),
    ],
)
def test_nothing_else_lets_in(door: Door, given: str, words: str) -> None:
    with pytest.raises(NotAuthenticated, match=words):
        door.enter(given)


def test_clocks_may_differ_by_the_leeway(door: Door) -> None:
    door.enter(token(exp=NOW - 29))
    door.enter(token(nbf=NOW + 29, iat=NOW + 29))


def test_a_token_without_known_scopes_opens_nothing(door: Door) -> None:
    assert door.enter(token(roles=None)).scopes == frozenset()
    assert door.enter(token(roles=["admin", 7])).scopes == frozenset()


def test_without_kid_the_only_fitting_key_counts_and_two_are_a_refusal(door: Door) -> None:
    door.enter(token(kid=None))
    door.provider.keys.append(jwk(OTHER, "r2"))
    door.moment.now_s += 301
    with pytest.raises(NotAuthenticated, match="kid"):
        door.enter(token(kid=None))


def test_a_new_key_is_fetched_when_a_token_names_it_but_not_for_each_guess(door: Door) -> None:
    door.enter(token())
    door.provider.keys.append(jwk(OTHER, "r2"))
    door.moment.now_s += 10
    door.enter(token(OTHER, kid="r2"))
    assert door.provider.reads == 2
    for number in range(50):
        with pytest.raises(NotAuthenticated):
            door.enter(token(OTHER, kid=f"x{number}"))
    assert door.provider.reads == 2


def test_a_provider_that_is_down_costs_nothing_but_new_keys(door: Door) -> None:
    door.provider.down = True
    with pytest.raises(AccessUnknown, match="can't be read"):
        door.enter(token())
    door.provider.down = False
    door.moment.now_s += 10
    door.enter(token())
    door.provider.down = True
    door.moment.now_s += 400
    door.enter(token(exp=NOW + 5000))


def test_a_key_that_is_meant_for_another_algorithm_or_for_secrets_is_not_taken(door: Door) -> None:
    door.provider.keys = [jwk(RSA, "r1", alg="PS256")]
    with pytest.raises(NotAuthenticated, match="does not have"):
        door.enter(token())
    assert parse(json.dumps({"keys": [jwk(RSA, "r1", use="enc")]}).encode()) == ()
    secret = {"kty": "oct", "kid": "h", "k": b64(b"s" * 32)}
    assert parse(json.dumps({"keys": [secret]}).encode()) == ()


def test_a_remembered_token_is_known_by_all_of_it(door: Door) -> None:
    given = token()
    door.enter(given)
    assert all(len(digest) == 32 for digest in door.reader._taken)
    with pytest.raises(NotAuthenticated):
        door.enter(given[:-4] + ("AAAA" if given[-4:] != "AAAA" else "BBBB"))


def test_keys_come_from_a_file_and_are_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    with pytest.raises(ConfigError, match="jwks_file"):
        from_file(file)
    file.write_text("{}")
    with pytest.raises(ConfigError, match="not a JWKS"):
        from_file(file)
    file.write_text(json.dumps({"keys": [jwk(RSA, "r1")]}))
    keys = KeySet(from_file(file), 10, "idp", clock=(moment := Moment()))
    asyncio.run(keys.read_again())
    assert [key.key_id for key in keys.keys] == ["r1"]
    file.write_text(json.dumps({"keys": [jwk(RSA, "r1"), jwk(EC, "e1")]}))
    moment.now_s += 10
    asyncio.run(keys.read_again())
    assert [key.key_id for key in keys.keys] == ["r1", "e1"]
    file.write_text("broken")
    moment.now_s += 10
    asyncio.run(keys.read_again())
    assert len(keys.keys) == 2


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        redirected = self.path == "/away"
        self.send_response(302 if redirected else 200)
        self.send_header("location", "/jwks")
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [jwk(RSA, "r1")]}).encode())

    def log_message(self, *_arguments: Any) -> None:
        """Not here."""


def test_keys_are_fetched_from_an_address_without_following_redirects() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for path, found in (("/jwks", 1), ("/away", 0)):
            keys = KeySet(from_url(f"http://127.0.0.1:{server.server_port}{path}", None), 10, "idp")
            asyncio.run(keys.read_again())
            assert len(keys.keys) == found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_issuer_s_tenant_claim_may_name_the_tenant_itself(door: Door) -> None:
    issuer = replace(door.issuer, tenants=None, tenant_claim="tenant")
    reader = TokenReader([issuer], door.reader._book, door.moment)
    assert asyncio.run(reader.found(token(tenant="acme").encode())).name == "acme"
    with pytest.raises(NotAuthenticated, match="tenant other is not known here"):
        asyncio.run(reader.found(token(tenant="other").encode()))
