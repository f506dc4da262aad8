"""The section `access`: the ways in besides the key file."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from appliance.config.section import Section
from appliance.domain.identifier import Identifier

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


ScopeName = Literal["inference", "traces", "metrics", "admin"]

_BY_NAME: dict[str, tuple[ScopeName, ...]] = {
    "inference": ("inference",),
    "traces": ("traces",),
    "metrics": ("metrics",),
    "admin": ("admin",),
}


def _network(address: str) -> str:
    try:
        ip_network(address)
    except ValueError:
        raise ValueError(f"{address} is neither an address nor a network like 10.0.0.0/24") from None
    return address


class IssuerSettings(Section):
    """One identity provider whose tokens (JWT) let callers in."""

    issuer: str = Field(min_length=1)
    """The claim `iss` of its tokens, exactly."""
    audience: tuple[str, ...] = Field(min_length=1)
    """The claim `aud` names one of these."""
    jwks_file: Path | None = None
    """Its public keys (JWKS), from the directory of this file on. Read again when it changes."""
    jwks_url: str | None = None
    """Where its public keys are fetched instead: https, or http on loopback. Nothing is fetched without this."""
    ca_file: Path | None = None
    """Certificates that the server at `jwks_url` is trusted by; left out: those of the system."""
    refresh_s: float = Field(300, ge=10)
    """The keys at `jwks_url` are fetched again after this time, and when a token names a key that is not known."""
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256"), min_length=1)
    """Signatures that are taken. Only ones by key pairs can be named."""
    leeway_s: float = Field(30, ge=0, le=300)
    """The clocks of provider and appliance may differ by so much."""
    tenant_claim: str = "tenant"
    """The claim that names the tenant; a dot leads into an object (`realm.name`)."""
    tenants: dict[str, Identifier] | None = None
    """Values of that claim → tenants. Null: the value is the tenant's name. What is not named here is refused."""
    scope_claim: str = "scope"
    """The claim with the scopes: words in a string, or a list."""
    scopes: dict[str, tuple[ScopeName, ...]] = Field(default_factory=lambda: _BY_NAME)
    """Words of that claim → scopes; others are passed over. A token without any opens nothing."""
    labels_claim: str | None = None
    """A claim with labels (a list, or words) that all requests with the token bear."""

    @model_validator(mode="after")
    def _keys_from_one_place(self) -> Self:
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("give jwks_file or jwks_url, and only one of them")
        if self.jwks_url is not None:
            parts = urlsplit(self.jwks_url)
            loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
            if not parts.hostname or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not loopback):
                raise ValueError(f"jwks_url: {self.jwks_url} is no https address; keys over plain http can be forged")
        return self


class CertificateSettings(Section):
    """A client certificate that lets a caller in."""

    name: str = Field(min_length=1)
    """Its subject as RFC 4514 writes it (`CN=billing,OU=Services,O=Bank`), or one of its URIs (`URI:spiffe://…`)."""
    tenant: Identifier
    """The tenant that it speaks for."""
    scopes: tuple[ScopeName, ...] = ("inference",)
    """What it opens."""
    labels: tuple[Identifier, ...] = ()
    """Labels that all its requests bear."""


class ProxySettings(Section):
    """A proxy that ends TLS and says in a header whose certificate it saw."""

    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(min_length=1)
    """Addresses or networks that its connections come from. From any other the header is not read."""
    header: Annotated[str, StringConstraints(pattern=re.compile(r"^[a-z0-9-]+$"))] = "x-client-subject"
    """The header, in lower case: the certificate's subject as `certificates` names it. The proxy must take away one
    that the client sent."""

    def trusts(self, address: str) -> bool:
        """Whether a connection from there is the proxy's."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in ip_network(network) for network in self.addresses)


class AccessSettings(Section):
    """Who may come in besides those with a key of `server.api_key_file`: keys of tenants (`appliance keys`), tokens of
    an identity provider, and client certificates."""

    pepper_file: Path = Path("key-pepper")
    """Secret that the stored digests of keys are made with, below `data_dir` unless absolute; made when it is not
    there. The environment variable APPLIANCE_KEY_PEPPER stands for it where several processes share a ledger."""
    issuers: tuple[IssuerSettings, ...] = ()
    """Identity providers."""
    certificates: tuple[CertificateSettings, ...] = ()
    """Client certificates, on connections where `server.tls.client_ca_file` asks for one, or as the proxy says."""
    proxy: ProxySettings | None = None
    """A proxy that is trusted to have checked a client's certificate. Without it no such header is read."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key, names in (
            ("issuers", [issuer.issuer for issuer in self.issuers]),
            ("certificates", [certificate.name for certificate in self.certificates]),
        ):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{key}: {twice[0]} stands twice; take one of them away")
        return self
