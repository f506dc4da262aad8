"""What Kubernetes tells of EndpointSlices → the doors of packs that are ready. Pure.

The API server sends a list, then events that begin where the list ended. Events may come twice, and after a broken
watch old ones may come again: what is older than what is known of a slice, or of its deletion, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

GONE = 410
"""The API server no longer knows what happened since then: everything has to be listed anew."""


class Next(StrEnum):
    """What is to be done after an event."""

    GO_ON = "go on"
    LIST = "list"


class SliceError(Exception):
    """What the API server sent is not understood; the message quotes none of it."""


@dataclass(slots=True)
class SliceBook:
    """The slices as last heard of. `port_name` is the door's port in them; `version` is where a watch goes on."""

    port_name: str
    version: str = ""
    _doors: dict[str, frozenset[str]] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)
    """Of each slice, those that were deleted included."""

    @property
    def doors(self) -> frozenset[str]:
        """URLs of the doors that are ready in any slice: for a while an endpoint may stand in two."""
        return frozenset().union(*self._doors.values())

    def listed(self, items: Iterable[Mapping[str, Any]], version: str) -> None:
        """Forget everything, and believe a whole list. Raises SliceError."""
        found = [(*_identity(item), doors_of(item, self.port_name)) for item in items]
        self._doors = {name: doors for name, _, doors in found}
        self._versions = {name: at for name, at, _ in found}
        self.version = version

    def heard(self, event: Mapping[str, Any]) -> Next:
        """Take in one event of a watch. Raises SliceError."""
        kind, thing = event.get("type"), event.get("object")
        if not isinstance(thing, Mapping):
            raise SliceError("an event without an object")
        if kind == "ERROR":
            if thing.get("code") == GONE:
                return Next.LIST
            raise SliceError(f"the watch ends with code {thing.get('code')}")
        name, version = _identity(thing, nameless=kind == "BOOKMARK")
        if kind in {"ADDED", "MODIFIED", "DELETED"} and not _older(version, self._versions.get(name)):
            self._versions[name] = version
            if kind == "DELETED":
                self._doors.pop(name, None)
            else:
                self._doors[name] = doors_of(thing, self.port_name)
        if not _older(version, self.version):
            self.version = version
        return Next.GO_ON


def doors_of(item: Mapping[str, Any], port_name: str) -> frozenset[str]:
    """The doors of one slice that are ready and not about to end. Raises SliceError.

    Kubernetes leaves `ready` out where it does not know, and asks to take that for ready.
    """
    try:
        port = next((port["port"] for port in item.get("ports") or () if port.get("name") == port_name), None)
        if port is None:
            return frozenset()
        urls = []
        for endpoint in item.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                urls += [f"http://{_host(address)}:{int(port)}" for address in endpoint["addresses"][:1]]
        return frozenset(urls)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SliceError(f"an EndpointSlice of an unknown form ({type(error).__name__})") from None


def _host(address: str) -> str:
    found = ip_address(address)
    return f"[{found}]" if found.version == 6 else str(found)


def _identity(item: Mapping[str, Any], *, nameless: bool = False) -> tuple[str, str]:
    """Name and resource version."""
    metadata = item.get("metadata")
    if not isinstance(metadata, Mapping) or not metadata.get("resourceVersion"):
        raise SliceError("an object without a resource version")
    if not nameless and not metadata.get("name"):
        raise SliceError("an object without a name")
    return str(metadata.get("name", "")), str(metadata["resourceVersion"])


def _older(version: str, known: str | None) -> bool:
    """Resource versions of one kind can be compared as numbers; where they can't, the later word counts."""
    return bool(known) and version.isdecimal() and str(known).isdecimal() and int(version) < int(str(known))
