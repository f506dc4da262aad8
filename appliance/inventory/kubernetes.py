"""Packs as Kubernetes knows them: a list of EndpointSlices and a watch, in a few calls to the API server."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from appliance.errors import ConfigError
from appliance.inventory.endpoint_slices import GONE, Next, SliceBook, SliceError

WATCH_S = 60
"""The API server ends a watch after so long, and it is begun again where it ended."""
SILENT_S = 15.0
"""On top of that nothing at all may come for so long: then the connection is dead, though nobody has closed it."""
CALL_S = 15.0
PAGE = 500
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 20.0
MAX_LINE_BYTES = 16_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """How a pod speaks with its API server. The token is rotated, so it is read for each call."""

    server: str
    directory: Path

    @property
    def token(self) -> str:
        """The bearer token of now."""
        return (self.directory / "token").read_text(encoding="utf-8").strip()

    @property
    def namespace(self) -> str:
        """The pod's own."""
        return (self.directory / "namespace").read_text(encoding="utf-8").strip()

    def context(self) -> ssl.SSLContext:
        """Trust in the cluster's authority, and in nobody else."""
        return ssl.create_default_context(cafile=self.directory / "ca.crt")


def service_account(environment: Mapping[str, str], directory: Path) -> ServiceAccount:
    """This pod's. Raises ConfigError where this is no pod, or one without a token."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError(
            "cluster.discovery.kubernetes: KUBERNETES_SERVICE_HOST is not set, so this is no pod; name the packs in "
            "cluster.discovery.urls"
        )
    for name in ("token", "ca.crt"):
        if not (directory / name).is_file():
            raise ConfigError(
                f"cluster.discovery.kubernetes: there is no {directory / name}; give the pod a service account with "
                "automountServiceAccountToken: true, and a Role to list and watch endpointslices"
            )
    return ServiceAccount(f"https://{f'[{host}]' if ':' in host else host}:{port}", directory)


class _Refused(Exception):
    """The API server answers with an error. The message says what to do about it."""

    def __init__(self, status: int) -> None:
        hint = "; its Role must allow to list and watch endpointslices" if status == 403 else ""
        super().__init__(f"HTTP status {status}{hint}")
        self.status = status


class EndpointWatch:
    """Tells of the doors that are ready, and of each change.

    While the API server can't be reached, what was last known stays: the packs themselves say whether they live.
    """

    def __init__(self, account: ServiceAccount, namespace: str, selector: str, port_name: str) -> None:
        self._account = account
        self._url = f"{account.server}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._selector = selector
        self._book = SliceBook(port_name)

    async def run(self, tell: Callable[[Collection[str]], None]) -> None:
        """Tell of the doors that are ready now, and whenever that changes, until cancelled.

        A broken watch goes on where it ended; where the API server has forgotten that place, all is listed anew.
        """
        failures, listed = 0, False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed = True
                    tell(self._book.doors)
                began_s = asyncio.get_running_loop().time()
                listed = await self._watch(tell) is not Next.LIST
                if listed and asyncio.get_running_loop().time() - began_s < 1.0:
                    await asyncio.sleep(_backoff_s(1))  # one that ends at once, again and again
                failures = 0
            except (_Refused, SliceError, aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                failures += 1
                if isinstance(error, SliceError) or (isinstance(error, _Refused) and error.status == GONE):
                    listed = False
                _log.warning("the API server gives no answer of use", reason=_said(error), failures=failures)
                await asyncio.sleep(_backoff_s(failures))

    async def _list(self) -> None:
        items: list[Mapping[str, Any]] = []
        more = ""
        while True:
            query = {"labelSelector": self._selector, "limit": str(PAGE)} | ({"continue": more} if more else {})
            async with asyncio.timeout(CALL_S), _called(self._account, self._url, query) as response:
                found = json.loads(await response.read())
            items += found.get("items") or ()
            metadata = found.get("metadata") or {}
            more = metadata.get("continue") or ""
            if not more:
                break
        self._book.listed(items, str(metadata.get("resourceVersion", "")))

    async def _watch(self, tell: Callable[[Collection[str]], None]) -> Next:
        query = {
            "labelSelector": self._selector,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._book.version,
            "timeoutSeconds": str(WATCH_S),
        }
        async with _called(self._account, self._url, query) as response:
            async for line in _lines(response):
                before = self._book.doors
                following = self._book.heard(json.loads(line))
                if self._book.doors != before:
                    tell(self._book.doors)
                if following is Next.LIST:
                    return Next.LIST
        return Next.GO_ON


@asynccontextmanager
async def _called(account: ServiceAccount, url: str, query: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response, in a session of its own: token and authority are read anew."""
    connector = aiohttp.TCPConnector(ssl=account.context(), force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_S, sock_read=WATCH_S + SILENT_S)
    headers = {"Authorization": f"Bearer {account.token}", "Accept": "application/json"}
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
        session.get(url, params=query, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise _Refused(response.status)
        yield response


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise SliceError("an event without an end")
        for line in filter(None, lines):
            yield line


def _backoff_s(failures: int) -> float:
    longest_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures - 1, 10))
    return random.uniform(longest_s / 2, longest_s)


def _said(error: BaseException) -> str:
    """Without what a server may have put into it."""
    return str(error) if isinstance(error, _Refused | SliceError) else type(error).__name__
