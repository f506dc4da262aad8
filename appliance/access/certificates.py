"""Client certificates → tenants, by the names that whoever checked the certificate read in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from appliance.access.book import TenantBook
from appliance.domain.tenant import Scope, Tenant
from appliance.errors import NotAuthenticated


@dataclass(frozen=True, slots=True)
class Speaker:
    """Whom a certificate speaks for."""

    tenant: str
    scopes: frozenset[Scope]
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """Who may say in a header whose certificate it saw: `trusts` tells by the address of its connection."""

    header: bytes
    trusts: Callable[[str], bool]

    def names(self, address: str, headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, ...]:
        """The name that it gave; none from anybody else, and none where the header stands twice."""
        said = [value for name, value in headers if name == self.header]
        if len(said) != 1 or not self.trusts(address):
            return ()
        return (said[0].decode("utf-8", "replace"),)


class CertificateMap:
    """The certificates of one configuration, by subject (RFC 4514) or `URI:…`."""

    def __init__(self, speakers: Mapping[str, Speaker], book: TenantBook, proxy: TrustedProxy | None = None) -> None:
        self._speakers = speakers
        self._book = book
        self._proxy = proxy

    def tenant(self, names: Sequence[str], address: str, headers: Sequence[tuple[bytes, bytes]]) -> Tenant:
        """The tenant of the certificate on a connection, else of the one that a proxy saw. Raises NotAuthenticated."""
        if not names and self._proxy is not None:
            names = self._proxy.names(address, headers)
        if not names:
            raise NotAuthenticated("neither an API key nor a client certificate was given; send one of them")
        for name in names:
            if (speaker := self._speakers.get(name)) is not None:
                return self._book.tenant(speaker.tenant, speaker.scopes, speaker.labels, f"certificate {name}")
        shown = ", ".join(names)[:300]
        raise NotAuthenticated(f"the client certificate ({shown}) speaks for no tenant; name it in access.certificates")
