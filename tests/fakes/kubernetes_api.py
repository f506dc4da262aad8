"""A fake API server for EndpointSlices: over TLS, with tokens, resource versions, watches, and all that goes wrong.

async with FakeKubernetes(directory) as api:
    api.put("packs-a", "10.0.0.1")            # a slice with one ready endpoint
    ...                                       # EndpointWatch(api.account, …)
    api.drop_watches()                        # connections end in the middle
    api.forget()                              # whoever comes with an older version gets 410 Gone
    api.rotate("new-token")                   # the old token is refused from now on
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.inventory.kubernetes import ServiceAccount

NAMESPACE = "ai"


def slice_of(name: str, version: int, addresses: Mapping[str, bool | None], port: int = 8090) -> dict[str, Any]:
    """An EndpointSlice; `addresses` with whether each is ready (None: Kubernetes does not know)."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": str(version)},
        "addressType": "IPv4",
        "ports": [{"name": "other", "port": 1, "protocol": "TCP"}, {"name": "door", "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "conditions": {} if ready is None else {"ready": ready}}
            for address, ready in addresses.items()
        ],
    }


@dataclass(slots=True)
class FakeKubernetes:
    """The server. `directory` gets what a pod has of its service account."""

    directory: Path
    token: str = "token-1"
    version: int = 100
    oldest: int = 100
    repeat: int = 1
    """Each event is sent so many times."""
    broken: int = 0
    """So many calls get status 500."""
    error_events: bool = False
    """410 comes as an event of the watch, as the API server often does, and not as a status."""
    calls: list[str] = field(default_factory=list)
    port: int = 0
    door_port: int = 8090
    _slices: dict[str, dict[str, Any]] = field(default_factory=dict)
    _events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    @property
    def account(self) -> ServiceAccount:
        """As a pod finds it."""
        return ServiceAccount(f"https://127.0.0.1:{self.port}", self.directory)

    @property
    def watches(self) -> int:
        """Open ones."""
        return len(self._watches)

    def put(self, name: str, *addresses: str, **ready: bool | None) -> None:
        """Make or change a slice. `ready` by address with underscores for dots; all are ready that are not named."""
        said = {address: ready.get("ip_" + address.replace(".", "_"), True) for address in addresses}
        self.version += 1
        kind = "MODIFIED" if name in self._slices else "ADDED"
        self._slices[name] = slice_of(name, self.version, said, self.door_port)
        self._tell(kind, self._slices[name])

    def delete(self, name: str) -> None:
        """Take a slice away."""
        self.version += 1
        found = self._slices.pop(name)
        self._tell("DELETED", found | {"metadata": found["metadata"] | {"resourceVersion": str(self.version)}})

    def bookmark(self) -> None:
        """Move everybody on, though nothing of theirs has changed."""
        self.version += 7
        self._tell("BOOKMARK", {"kind": "EndpointSlice", "metadata": {"resourceVersion": str(self.version)}})

    def again(self, steps: int) -> None:
        """Send the last events once more, as they were."""
        self._events += self._events[-steps:]
        self._wake()

    def drop_watches(self) -> None:
        """End the connections of all watches, in the middle."""
        for task in tuple(self._watches):
            task.cancel()

    def forget(self) -> None:
        """What happened until now can't be watched any more."""
        self.oldest = self.version

    def rotate(self, token: str) -> None:
        """Only this token counts from now on, and the pod's file has it."""
        self.token = token
        (self.directory / "token").write_text(token)

    async def __aenter__(self) -> Self:
        context = self._identity()
        app = web.Application()
        app.router.add_get(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop_watches()
        assert self._runner is not None
        await self._runner.cleanup()

    def _identity(self) -> ssl.SSLContext:
        """A certificate for loopback that is its own authority; the pod's directory gets it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        (self.directory / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret = self.directory / "server.key"
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (self.directory / "token").write_text(self.token)
        (self.directory / "namespace").write_text(NAMESPACE)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "ca.crt", secret)
        return context

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") == "1"
        self.calls.append("watch" if watch else "list")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        if self.broken > 0:
            self.broken -= 1
            return web.Response(status=500, text="etcd is away")
        assert request.query["labelSelector"] == "kubernetes.io/service-name=packs"
        if watch:
            return await self._watch(request)
        return web.json_response(
            {
                "kind": "EndpointSliceList",
                "metadata": {"resourceVersion": str(self.version)},
                "items": list(self._slices.values()),
            }
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        status = {"kind": "Status", "code": 410, "reason": "Expired"}
        if since < self.oldest and not self.error_events:
            return web.json_response(status, status=410)
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        if since < self.oldest:
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            return response
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            done = next((n for n, (at, _) in enumerate(self._events) if at > since), len(self._events))
            while True:
                news = self._news
                for _, event in self._events[done:]:
                    line = json.dumps(event).encode() + b"\n"
                    for _ in range(self.repeat):
                        # In two pieces: an event need not come as one.
                        await response.write(line[:20])
                        await response.write(line[20:])
                done = len(self._events)
                await news.wait()
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.abort()
            return response
        finally:
            self._watches.discard(task)

    def _tell(self, kind: str, thing: Mapping[str, Any]) -> None:
        self._events.append((self.version, {"type": kind, "object": dict(thing)}))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
