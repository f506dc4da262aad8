"""Settings → who may come in, and how much of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.access.api_keys import Digester, read_or_make_pepper
from appliance.access.book import TenantBook
from appliance.access.certificates import CertificateMap, Speaker, TrustedProxy
from appliance.access.jwks import KeySet, from_file, from_url
from appliance.access.keeper import LimitKeeper
from appliance.access.limits import Limits
from appliance.access.tokens import Issuer, TokenReader
from appliance.bootstrap.ledger import ledger_place
from appliance.config import Settings
from appliance.config.access import IssuerSettings
from appliance.domain.policy import DataPolicy
from appliance.domain.tenant import DEFAULT, Scope, Tenant
from appliance.errors import ConfigError
from appliance.gateway.auth import Authenticator, OpenDoor, read_or_make_keys
from appliance.gateway.doorkeeper import Doorkeeper
from appliance.ledger.access_store import AccessStore
from appliance.ledger.database import POSTGRESQL, Database


@dataclass(frozen=True, slots=True)
class Keys:
    """Tenants and keys as the command line changes them."""

    store: AccessStore
    digester: Digester


def open_keys(settings: Settings, database: Database, environment: Mapping[str, str] = os.environ) -> Keys:
    """The keys of a ledger, and the pepper that goes with them. Raises ConfigError where it is another one."""
    file = settings.below_data_dir(settings.access.pepper_file)
    digester = Digester(read_or_make_pepper(file, environment))
    store = AccessStore(database, time.time)
    store.check_pepper(digester.check)
    return Keys(store, digester)


def open_ledger(settings: Settings, environment: Mapping[str, str] = os.environ) -> Database:
    """The ledger of a configuration, whether an appliance runs on it or not."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"data_dir: {settings.data_dir} can't be used: {error.strerror}") from None
    return Database(ledger_place(settings, environment))


def key_file(settings: Settings) -> Path | None:
    """Where callers' keys stand; None where none is asked for."""
    if not settings.server.require_api_key:
        return None
    return settings.below_data_dir(settings.server.api_key_file)


def build_authenticator(
    settings: Settings, policy: DataPolicy, database: Database
) -> tuple[Authenticator, TenantBook | None]:
    """Who looks at callers, and the book that has to be kept up to date for it. Raises ConfigError."""
    file = key_file(settings)
    if file is None:
        return OpenDoor(_everybody(settings, policy)), None
    keys = open_keys(settings, database)
    book = TenantBook(
        database,
        keys.store.snapshot(),
        policy,
        keys.digester,
        keep_content=settings.ledger.keep_content,
        file_keys=read_or_make_keys(file),
    )
    issuers = [_issuer(settings, issuer) for issuer in settings.access.issuers]
    return Doorkeeper(book, TokenReader(issuers, book) if issuers else None, _certificates(settings, book)), book


def build_keeper(settings: Settings, limits: Limits, database: Database) -> LimitKeeper:
    """What keeps limits in step with the ledger: divided where workers, or replicas on PostgreSQL, serve the same."""
    shared = settings.server.workers > 1 or database.dialect == POSTGRESQL
    return LimitKeeper(limits, database, shared=shared)


def _everybody(settings: Settings, policy: DataPolicy) -> Tenant:
    own = policy.of(DEFAULT)
    assert own is not None, "the default policy is always there"
    kept = own.rule.keep_content
    return Tenant(DEFAULT, settings.ledger.keep_content if kept is None else kept, own.default_labels)


def _issuer(settings: Settings, said: IssuerSettings) -> Issuer:
    if said.jwks_file is not None:
        source = from_file(said.jwks_file)
        refresh_s = 10.0  # it is only looked at, and read where it has changed
    else:
        assert said.jwks_url is not None, "one of them is given"
        source, refresh_s = from_url(said.jwks_url, said.ca_file), said.refresh_s
    return Issuer(
        issuer=said.issuer,
        audience=said.audience,
        keys=KeySet(source, refresh_s, said.issuer),
        algorithms=said.algorithms,
        leeway_s=said.leeway_s,
        tenant_claim=said.tenant_claim,
        tenants=said.tenants,
        scope_claim=said.scope_claim,
        scopes={word: frozenset(map(Scope, scopes)) for word, scopes in said.scopes.items()},
        labels_claim=said.labels_claim,
    )


def _certificates(settings: Settings, book: TenantBook) -> CertificateMap | None:
    said = settings.access
    if not said.certificates:
        return None
    speakers = {
        one.name: Speaker(one.tenant, frozenset(map(Scope, one.scopes)), frozenset(one.labels))
        for one in said.certificates
    }
    proxy = None if said.proxy is None else TrustedProxy(said.proxy.header.encode(), said.proxy.trusts)
    return CertificateMap(speakers, book, proxy)
