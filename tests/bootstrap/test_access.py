"""The ways in besides keys, over real connections: client certificates, and what a proxy says of them."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from appliance.bootstrap.access import build_authenticator, open_ledger
from appliance.bootstrap.policy import data_policy
from appliance.bootstrap.server import HttpServer, listen
from appliance.bootstrap.tls_protocol import names_of
from appliance.config import Settings, load
from appliance.config.server import TlsSettings
from appliance.domain.credential import TenantRecord
from appliance.errors import ConfigError
from appliance.ledger.access_store import AccessStore
from tests.bootstrap.certificates import Authority
from tests.cli.pool import Pool, make_pool
from tests.gateway.door import House

BILLING = "CN=billing,OU=Services,O=Bank"


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


def settings_of(pool: Pool) -> Settings:
    pool.write()
    return load(pool.config, {})


async def asked(
    settings: Settings, tls: TlsSettings | None, *requests: tuple[ssl.SSLContext | None, dict[str, str]]
) -> list[Any]:
    """Statuses and bodies of GET /v1/traces on a gateway with these settings; the error where no connection was had."""
    database = open_ledger(settings)
    AccessStore(database, lambda: 0.0).create(TenantRecord("acme"))
    authenticator, _ = build_authenticator(settings, data_policy(settings, {}), database)
    server = HttpServer(House(authenticator=authenticator).app, listen("127.0.0.1", 0), tls=tls)
    serving = asyncio.create_task(server.serve())
    port = int(server.url.rsplit(":", 1)[1])
    try:
        return [await asyncio.to_thread(_get, port, context, headers) for context, headers in requests]
    finally:
        server.stop()
        await serving
        database.close()


def _get(port: int, context: ssl.SSLContext | None, headers: dict[str, str]) -> Any:
    connection: http.client.HTTPConnection = (
        http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        if context is None
        else http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    )
    try:
        connection.request("GET", "/v1/traces", headers=headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    except (ssl.SSLError, OSError) as error:
        return type(error).__name__, str(error)
    finally:
        connection.close()


def client(authority: Authority, issued: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if issued is not None:
        context.load_cert_chain(*issued)
    return context


def test_a_client_certificate_speaks_for_its_tenant(pool: Pool, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "other")
    server = authority.issue("server", "CN=appliance")
    tls = TlsSettings(cert_file=server[0], key_file=server[1], client_ca_file=authority.file)
    pool.settings["access"] = {
        "certificates": [
            {"name": BILLING, "tenant": "acme", "scopes": ["traces"]},
            {"name": "URI:spiffe://bank/batch", "tenant": "acme"},
        ]
    }
    billing = client(authority, authority.issue("billing", BILLING))
    batch = client(authority, authority.issue("batch", "CN=x", uri="spiffe://bank/batch"))
    unnamed = client(authority, authority.issue("unnamed", "CN=somebody"))
    nobody = client(authority)
    forged = client(authority, stranger.issue("forged", BILLING))
    spoofing = {"x-client-subject": BILLING}
    replies = asyncio.run(
        asked(
            settings_of(pool), tls,
            (billing, {}), (batch, {}), (unnamed, {}), (nobody, {}), (forged, {}), (nobody, spoofing),
            (billing, {"authorization": "Bearer sk-wrong-wrong-wrong"}),
        )
    )  # fmt: skip
    assert [status for status, _ in replies[:4]] == [200, 403, 401, 401]
    assert "speaks for no tenant" in replies[2][1]["error"]["message"]
    assert replies[4][0] not in (200, 403)  # the handshake fails, or the connection is cut
    assert [status for status, _ in replies[5:]] == [401, 401]


def test_where_certificates_are_required_nobody_connects_without(pool: Pool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", "CN=appliance")
    tls = TlsSettings(
        cert_file=server[0], key_file=server[1], client_ca_file=authority.file, client_certificate="required"
    )
    key_file = pool.data_dir / "api-key"
    key_file.parent.mkdir(parents=True)
    key_file.write_text("sk-0123456789abcdef\n")
    good = {"authorization": "Bearer sk-0123456789abcdef"}
    replies = asyncio.run(asked(settings_of(pool), tls, (client(authority), good), (client(authority, server), good)))
    assert replies[0][0] != 200
    assert replies[1][0] == 200


@pytest.mark.parametrize(
    ("proxy", "header", "status"),
    [
        (None, "x-client-subject", 401),
        ({"addresses": ["127.0.0.1"]}, "x-client-subject", 200),
        ({"addresses": ["127.0.0.0/8"], "header": "x-ssl-subject"}, "x-ssl-subject", 200),
        ({"addresses": ["127.0.0.0/8"], "header": "x-ssl-subject"}, "x-client-subject", 401),
        ({"addresses": ["10.0.0.0/8"]}, "x-client-subject", 401),
    ],
)
def test_a_header_counts_from_the_configured_proxy_alone(
    pool: Pool, proxy: dict[str, Any] | None, header: str, status: int
) -> None:
    pool.settings["access"] = {
        "certificates": [{"name": BILLING, "tenant": "acme", "scopes": ["traces"]}],
        **({"proxy": proxy} if proxy else {}),
    }
    spoofed = {header: BILLING, "x-forwarded-for": "10.1.1.1"}
    ((found, _),) = asyncio.run(asked(settings_of(pool), None, (None, spoofed)))
    assert found == status


def test_names_of_a_certificate(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("one", BILLING, uri="spiffe://bank/billing")
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert names_of(der) == (BILLING, "URI:spiffe://bank/billing")


@pytest.mark.parametrize("missing", ["cert_file", "key_file", "client_ca_file"])
def test_tls_files_that_can_not_be_used(tmp_path: Path, missing: str) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", "CN=appliance")
    files = {"cert_file": server[0], "key_file": server[1], "client_ca_file": authority.file}
    tls = TlsSettings(**(files | {missing: tmp_path / "nowhere"}))
    listener = listen("127.0.0.1", 0)
    with listener, pytest.raises(ConfigError, match=r"server\.tls.*nowhere"):
        HttpServer(House().app, listener, tls=tls)


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ({"issuers": [{"issuer": "x", "audience": ["a"]}]}, "give jwks_file or jwks_url"),
        ({"issuers": [{"issuer": "x", "audience": ["a"], "jwks_url": "http://idp/keys"}]}, "is no https address"),
        ({"issuers": [{"issuer": "x", "audience": ["a"], "jwks_file": "k", "algorithms": ["HS256"]}]}, "algorithms"),
        ({"issuers": [{"issuer": "x", "audience": ["a"], "jwks_file": "k", "algorithms": ["none"]}]}, "algorithms"),
        ({"issuers": [{"issuer": "x", "audience": [], "jwks_file": "k"}]}, "audience"),
        ({"certificates": [{"name": "CN=a", "tenant": "a"}, {"name": "CN=a", "tenant": "b"}]}, "CN=a stands twice"),
        ({"proxy": {"addresses": ["everywhere"]}}, "everywhere is neither an address nor a network"),
        ({"proxy": {"addresses": []}}, "addresses"),
    ],
)
def test_settings_that_would_open_too_much_are_refused(pool: Pool, access: dict[str, Any], words: str) -> None:
    pool.settings["access"] = access
    with pytest.raises(ConfigError, match=words):
        settings_of(pool)
