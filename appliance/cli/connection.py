"""Finding the running appliance and speaking HTTP with it."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from appliance import errors
from appliance.bootstrap.data_dir import read_running
from appliance.cli.options import settings_of

_TIMEOUT_S = 600
_BY_STATUS: dict[int, type[errors.RequestError]] = {
    400: errors.InvalidRequest,
    401: errors.NotAuthenticated,
    403: errors.NotAllowed,
    404: errors.NotFound,
    422: errors.InvalidRequest,
}
# Never through a proxy: the appliance is a neighbour.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _pinned(certificate: Path) -> urllib.request.OpenerDirector:
    """For the appliance on this machine: it has to show this very certificate, by whatever name it is reached."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


@dataclass(frozen=True, slots=True)
class Reply:
    """A response whose body is still to be read."""

    headers: Mapping[str, str]
    body: IO[bytes]


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and key of one appliance."""

    url: str
    api_key: str | None = field(repr=False)
    certificate: Path | None = None
    """The one that it has to show, where it is known beforehand."""

    def get(self, path: str) -> Any:
        """A JSON document."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """A body as it came."""
        with self._open(urllib.request.Request(self.url + path)) as reply:  # noqa: S310 (checked in `locate`)
            return reply.body.read()

    @contextmanager
    def post(self, path: str, document: Mapping[str, Any]) -> Iterator[Reply]:
        """Send JSON; the reply is closed with the block, which also ends the work on it."""
        headers = {"content-type": "application/json"}
        body = json.dumps(document).encode()
        with self._open(urllib.request.Request(self.url + path, body, headers)) as reply:  # noqa: S310 (checked in `locate`)
            yield reply

    @contextmanager
    def _open(self, request: urllib.request.Request) -> Iterator[Reply]:
        if self.api_key is not None:
            request.add_header("authorization", f"Bearer {self.api_key}")
        try:
            opener = _OPENER if self.certificate is None else _pinned(self.certificate)
            response = opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise _translated(error.code, error.read()) from None
        except (urllib.error.URLError, OSError) as error:
            raise _unreachable(self.url, error) from None
        with response:
            try:
                yield Reply({name.lower(): value for name, value in response.headers.items()}, response)
            except OSError as error:
                raise _unreachable(self.url, error) from None


def locate(config: Path | None, url: str | None, key_file: Path | None) -> Connection:
    """The appliance at `url`, or the one that runs on this configuration's data directory. Raises NotRunning."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise errors.ConfigError(f"--url {url}: an address begins with http:// or https://")
        return Connection(url.rstrip("/"), _key(key_file))
    settings = settings_of(config)
    found = read_running(settings.data_dir)
    if found is None:
        raise errors.NotRunning(
            f"no appliance is running on {settings.data_dir}; start one with `appliance up`, or name one with --url"
        )
    tls = settings.server.tls
    return Connection(found.url, _key(key_file or found.api_key_file), None if tls is None else tls.cert_file)


def _key(file: Path | None) -> str | None:
    if "APPLIANCE_API_KEY" in os.environ:
        return os.environ["APPLIANCE_API_KEY"]
    if file is None:
        return None
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigError(f"{file}: the API key can't be read: {error}") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise errors.ConfigError(f"{file}: holds no API key")
    return keys[0]


def _translated(status: int, body: bytes) -> errors.ApplianceError:
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the appliance answered with HTTP status {status}"
    if status in _BY_STATUS:
        return _BY_STATUS[status](message)
    return errors.EngineUnavailable(message)


def _unreachable(url: str, error: OSError) -> errors.NotRunning:
    reason = getattr(error, "reason", None) or error
    return errors.NotRunning(f"the appliance at {url} can't be reached: {reason}")
