"""HTTP to the doors of packs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import aiohttp

from appliance.packs.document import NotUnderstood, PackDocument, Report, read_document, report_json

CONNECT_S = 2.0
MAX_DOCUMENT_BYTES = 8_000_000


class PackSilent(Exception):
    """The door gave no answer, or none that can be used; the message says why, without any of its content.

    `refused`: nothing listens there.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class PackReader(Protocol):
    """The follower's way to doors."""

    async def read(self, url: str, source: str, tag: str | None, wait_s: float, limit_s: float) -> PackDocument | None:
        """The pack, as soon as it differs from `tag`; None where it does not within `wait_s`. Raises PackSilent."""

    async def tell(self, url: str, report: Report, limit_s: float) -> None:
        """Hand a report over. Raises PackSilent."""

    async def close(self) -> None:
        """Close all connections."""


class HttpPackReader:
    """PackReader over aiohttp. `key` is asked for each call, since it may be rotated."""

    def __init__(self, key: Callable[[], str]) -> None:
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def read(self, url: str, source: str, tag: str | None, wait_s: float, limit_s: float) -> PackDocument | None:
        """By GET /pack."""
        headers = self._headers() | ({} if tag is None else {"If-None-Match": tag})
        query = {"source": source, "wait_s": f"{wait_s:g}"}
        try:
            async with (
                asyncio.timeout(limit_s),
                self._open().get(f"{url}/pack", params=query, headers=headers, allow_redirects=False) as response,
            ):
                if response.status == 304:
                    return None
                _check(response.status)
                return read_document(await _body(response))
        except TimeoutError:
            raise PackSilent(f"no answer within {limit_s:g} s") from None
        except aiohttp.ClientError as error:
            raise _unreachable(error) from None
        except NotUnderstood as error:
            raise PackSilent(f"it answers otherwise than a pack does: {error}") from None

    async def tell(self, url: str, report: Report, limit_s: float) -> None:
        """By POST /pack/demand."""
        try:
            async with (
                asyncio.timeout(limit_s),
                self._open().post(
                    f"{url}/pack/demand", data=report_json(report), headers=self._headers(), allow_redirects=False
                ) as response,
            ):
                _check(response.status)
        except TimeoutError:
            raise PackSilent(f"no answer within {limit_s:g} s") from None
        except aiohttp.ClientError as error:
            raise _unreachable(error) from None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key()}", "Content-Type": "application/json"}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Never through a proxy: packs are neighbours, and their documents hold keys.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                trust_env=False,
            )
        return self._session


def _check(status: int) -> None:
    if status == 401:
        raise PackSilent("it refuses our key; cluster.key_file must hold one of its keys first")
    if status not in {200, 204}:
        raise PackSilent(f"it answers with HTTP status {status}")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise PackSilent("it answers with too much")
    return bytes(body)


def _unreachable(error: aiohttp.ClientError) -> PackSilent:
    refused = isinstance(error, aiohttp.ClientConnectorError)
    return PackSilent(f"it can't be reached ({type(error).__name__})", refused=refused)
