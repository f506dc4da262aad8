"""Every way in, in order: a key or a token where one is sent, else the client's certificate."""

from __future__ import annotations

from appliance.access.book import TenantBook
from appliance.access.certificates import CertificateMap
from appliance.access.tokens import TokenReader
from appliance.domain.tenant import Tenant
from appliance.errors import NotAuthenticated
from appliance.gateway.auth import WAY_OUT, Presented


class Doorkeeper:
    """The authenticator of an appliance with tenants. What is sent decides: a certificate does not mend a wrong key."""

    def __init__(
        self, book: TenantBook, tokens: TokenReader | None = None, certificates: CertificateMap | None = None
    ) -> None:
        self._book = book
        self._tokens = tokens
        self._certificates = certificates

    def known(self, shown: Presented) -> Tenant | None:
        """The caller; None where keys may have been made since, or an issuer's keys have to be fetched."""
        bearer = shown.bearer
        if bearer is None:
            return self._by_certificate(shown)
        tenant = self._book.key(bearer)
        if tenant is None and self._tokens is not None and self._tokens.may_be_one(bearer):
            return self._tokens.known(bearer)
        return tenant

    async def found(self, shown: Presented) -> Tenant:
        """The caller, after another look at keys and issuers."""
        bearer = shown.bearer
        if bearer is None:
            return self._by_certificate(shown)
        if self._tokens is not None and self._tokens.may_be_one(bearer):
            return await self._tokens.found(bearer)
        await self._book.look_again()
        tenant = self._book.key(bearer)
        if tenant is None:
            raise NotAuthenticated(f"the API key is not known here, or not valid any more; {WAY_OUT}")
        return tenant

    def _by_certificate(self, shown: Presented) -> Tenant:
        if self._certificates is None:
            raise NotAuthenticated(f"no API key given; {WAY_OUT}")
        return self._certificates.tenant(shown.names, shown.address, shown.headers)
