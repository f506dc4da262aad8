"""A gateway whose engines run in packs elsewhere."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Protocol

from appliance.bootstrap.access import key_file
from appliance.bootstrap.appliance import Appliance, Parts
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.ending import ended
from appliance.bootstrap.front import build_front
from appliance.bootstrap.lineup import remote
from appliance.config import Settings
from appliance.config.cluster import KubernetesSettings
from appliance.domain.fleet import Fleet
from appliance.errors import ConfigError
from appliance.inventory.kubernetes import EndpointWatch, service_account
from appliance.packs.client import HttpPackReader
from appliance.packs.follower import PackFollower
from appliance.packs.keys import PackKeys
from appliance.supervisor.supervisor import Progress


class Watch(Protocol):
    """Whoever knows which packs there are, and tells of each change."""

    async def run(self, tell: Callable[[Collection[str]], None]) -> None:
        """Tell of the doors that are ready now, and whenever that changes, until cancelled."""


class FollowedPacks:
    """The engines of packs elsewhere. `watch` finds more of them than `urls`."""

    def __init__(self, follower: PackFollower, urls: Collection[str], watch: Watch | None, first_s: float) -> None:
        self._follower = follower
        self._urls = frozenset(urls)
        self._watch = watch
        self._first_s = first_s
        self._watching: asyncio.Task[None] | None = None
        self._found = asyncio.Event()

    @property
    def running(self) -> asyncio.Task[None] | None:
        """The watch, where there is one; it ends by a mistake of ours only."""
        return self._watching

    async def start(self, progress: Progress | None = None) -> None:
        """Return when all packs that can be found now have answered once, or after a while: they may come later."""
        del progress  # they are not started here
        self._follower.follow(self._urls)
        if self._watch is not None:
            self._watching = asyncio.create_task(self._watch.run(self._tell), name="watch packs")
            try:
                await asyncio.wait_for(self._found.wait(), self._first_s)
            except TimeoutError:
                return
        await self._follower.asked_all(self._first_s)

    async def stop(self) -> None:
        """Follow nobody any more."""
        await ended(self._watching)
        await self._follower.close()

    def _tell(self, urls: Collection[str]) -> None:
        self._follower.follow(self._urls | frozenset(urls))
        self._found.set()


def build_gateway(settings: Settings, *, log_to_stderr: bool = False) -> Appliance:
    """A gateway that holds its data directory and its port, and has started nothing yet.

    `log_to_stderr` is for its workers, where it has several.
    Raises AlreadyRunning, ConfigError and CatalogError; nothing is held then.
    """
    found = settings.cluster.discovery
    if not found.urls and found.kubernetes.wanted is None:
        raise ConfigError(
            f"{settings.source}: cluster.discovery: names no pack; set urls, or kubernetes.service where Kubernetes "
            "knows them (one machine needs `appliance up` only)"
        )
    with ExitStack() as held:
        held.enter_context(locked(settings.data_dir))
        fleet = Fleet()
        keys = PackKeys(settings.below_data_dir(settings.cluster.key_file))
        built = build_front(remote(settings), fleet, held, log_to_stderr=log_to_stderr)
        follower = PackFollower(
            fleet,
            HttpPackReader(lambda: keys.first),
            source=f"gateway-{secrets.token_hex(6)}",
            load=built.load,
            silent_s=found.silent_s,
        )
        return Appliance(
            Parts(
                data_dir=settings.data_dir,
                api_key_file=key_file(settings),
                fleet=fleet,
                front=built.front,
                engines=FollowedPacks(follower, found.urls, _watch(found.kubernetes), found.silent_s),
                release=held.pop_all().close,
            )
        )


def _watch(said: KubernetesSettings) -> Watch | None:
    """Where Kubernetes is to be asked. Raises ConfigError."""
    if said.wanted is None:
        return None
    account = service_account(os.environ, said.service_account)
    return EndpointWatch(account, said.namespace or account.namespace, said.wanted, said.port_name)
