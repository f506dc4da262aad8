"""The section `server`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from appliance.config.section import Section


class TlsSettings(Section):
    """Certificates of the HTTP door. Files are taken from the directory of this file on."""

    cert_file: Path
    """The server's certificate (PEM), with those that lead to its root."""
    key_file: Path
    """Its private key (PEM), without a password."""
    client_ca_file: Path | None = None
    """Clients' certificates are asked for, and trusted where these signed them (PEM); see `access.certificates`."""
    client_certificate: Literal["optional", "required"] = "optional"
    """Whether a connection without a client's certificate is taken at all. Probes without one need `optional`."""


class ServerSettings(Section):
    """The HTTP door."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs `require_api_key`."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    require_api_key: bool = True
    """Ask every caller who it is, except at `open_paths`."""
    open_paths: tuple[Literal["/health", "/ready", "/metrics"], ...] = ("/health",)
    """Paths that answer anybody. Probes of Kubernetes need `/ready` here too, which then tells who shows no key only
    whether it is ready, not what is missing."""
    api_key_file: Path = Path("api-key")
    """File with one key per line, below `data_dir` unless absolute. Made with one random key when it is not there."""
    max_body_bytes: int = Field(2_000_000, ge=1_000)
    """Larger request bodies are refused."""
    tls: TlsSettings | None = None
    """Speak HTTPS. Without it, put what speaks TLS in front, or keep the door on loopback."""
    max_choices: int = Field(4, ge=1, le=16)
    """Answers that one request may ask for at once (`n`)."""
    max_images: int = Field(8, ge=0)
    """Images that one request may show to a model that reads them."""
    fast_path: bool = True
    """Requests that name a model of the pool, and say nothing unusual, are carried to an engine and back as bytes. Off,
    every request takes the ordinary route; answers, limits and accounts are the same."""
    keep_alive_s: float = Field(10, gt=0)
    """A stream that has nothing to say for so long sends a comment, so that proxies keep it open."""

    drain_timeout_s: float = Field(5, ge=0)
    """Answers in flight get this long when the gateway stops."""
    workers: int = Field(1, ge=1, le=64)
    """Processes that answer requests. More than one use more cores; `--workers` wins over it."""

    @model_validator(mode="after")
    def _open_only_on_loopback(self) -> Self:
        if not self.require_api_key and self.host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("require_api_key: false is allowed on a loopback host only; set host to 127.0.0.1")
        return self
