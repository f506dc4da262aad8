"""uvicorn's HTTP protocol with what ASGI's TLS extension tells of a client's certificate, which uvicorn leaves out."""

from __future__ import annotations

import asyncio
import ssl

from cryptography import x509

from appliance.bootstrap.http_protocol import BoundedProtocol


class TlsProtocol(BoundedProtocol):
    """The names are read once for each connection, from the certificate that the handshake has checked already."""

    _tls: dict[object, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The handshake is over."""
        super().connection_made(transport)
        connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = None if connection is None else connection.getpeercert(binary_form=True)
        if certificate is not None:
            names = names_of(certificate)
            self._tls = {"client_cert_name": names[0], "client_cert_names": names}

    def on_message_begin(self) -> None:
        """A request begins, and with it its scope."""
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": self._tls}


def names_of(certificate: bytes) -> tuple[str, ...]:
    """The subject of a certificate (DER) as RFC 4514 writes it, then its URIs, each as `URI:…`."""
    read = x509.load_der_x509_certificate(certificate)
    try:
        alternatives = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    return (read.subject.rfc4514_string(), *(f"URI:{uri}" for uri in uris))
