"""The HTTP server around the gateway. Its socket is taken before anything else starts."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import uvicorn
from starlette.types import ASGIApp

from appliance.bootstrap.http_protocol import BoundedProtocol
from appliance.bootstrap.tls_protocol import TlsProtocol
from appliance.config.server import TlsSettings
from appliance.errors import AlreadyRunning, ConfigError

_BACKLOG = 2048
_KEEP_ALIVE_S = 75
"""Longer than the pools of common clients and proxies keep a connection, so that they close it, not we."""


def listen(host: str, port: int, section: str = "server") -> socket.socket:
    """A listening socket; `section` is the one of the settings to name in errors.

    Raises AlreadyRunning when the port is taken, ConfigError when the address can't be used.
    """
    listener = _bound(host, port, section, shared=False)
    listener.listen(_BACKLOG)
    return listener


def share(host: str, port: int) -> socket.socket:
    """A socket at an address that others of this user may share, which does not listen yet: a server makes it do so.

    The kernel divides connections among those that listen. Raises as `listen` does.
    """
    return _bound(host, port, "server", shared=True)


def _bound(host: str, port: int, section: str, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full: asyncio turns Nagle's algorithm off only where the protocol is known to be TCP, and with it on, the
    # last bytes of an answer wait 40 ms for the caller's acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise AlreadyRunning(
                f"port {port} on {host} is in use by another program; end it, or choose another port with "
                f"{'APPLIANCE_PORT or ' if section == 'server' else ''}{section}.port"
            ) from None
        raise ConfigError(f"{section}.host: can't listen on {host} port {port}: {error.strerror or error}") from None
    return bound


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where it listens; a wildcard address is shown as loopback."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (shown, not bound)
    return f"{scheme}://{shown}:{port}"


class HttpServer:
    """uvicorn on a socket, without signal handlers of its own.

    Answers in flight get `drain_timeout_s` when it stops.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, drain_timeout_s: float = 5, tls: TlsSettings | None = None
    ) -> None:
        context = None if tls is None else _context(tls)
        config = uvicorn.Config(
            app,
            access_log=False,
            http=BoundedProtocol if tls is None else TlsProtocol,
            lifespan="off",
            log_config=None,
            proxy_headers=False,  # who connects is who connects, whatever a header says
            server_header=False,
            timeout_graceful_shutdown=ceil(drain_timeout_s),
            timeout_keep_alive=_KEEP_ALIVE_S,
            ssl_context_factory=None if context is None else lambda _config, _default: context,
            ws="none",
        )
        self._scheme = "http" if tls is None else "https"
        self._server = _Quiet(config)
        self._listener = listener

    @property
    def url(self) -> str:
        """Where it listens; a wildcard address is shown as loopback."""
        return url_of(self._listener, self._scheme)

    async def serve(self) -> None:
        """Answer until `stop`."""
        await self._server.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Take no new requests and let `serve` return when those in flight have ended, or after the grace time."""
        self._server.should_exit = True

    def close(self) -> None:
        """Give the port back, where `serve` never ran."""
        self._listener.close()


def _context(tls: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer. Raises ConfigError for files that can't be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"server.tls: {tls.cert_file} with {tls.key_file} can't be used: {error}") from None
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"server.tls.client_ca_file: {tls.client_ca_file} can't be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_certificate == "required" else ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    """Instead of a question on the terminal."""
    return ""


class _Quiet(uvicorn.Server):
    """Signals belong to the command line, which also has engines to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
