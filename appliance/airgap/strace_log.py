"""strace's log of network calls → attempts to reach somebody. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

DNS_PORTS = frozenset({53, 853, 5353})
RESOLVERS = ("/run/systemd/resolve/", "/var/run/nscd/", "/run/nscd/")
"""Sockets of programs that ask name servers for others."""

_LINE = re.compile(r"^(?:\[pid +)?(\d+)\]? +(?:\d+:\d+:\d+(?:\.\d+)? +)?(connect|sendto|sendmsg|sendmmsg)\((.*)$")
_RESUMED = re.compile(r"^(?:\[pid +)?(\d+)\]? +<\.\.\. (\w+) resumed>(.*)$")
_V4 = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_V6 = re.compile(r'sin6_port=htons\((\d+)\),.*?inet_pton\(AF_INET6, "([^"]+)"')
_UNIX = re.compile(r'sa_family=AF_UNIX, sun_path="([^"]+)"')
_RESULT = re.compile(r"= (-?\d+)(?: (E[A-Z]+))?")


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """Somebody whom a process tried to reach, and what came of it (`ok` or the name of an error)."""

    address: str
    port: int
    call: str
    result: str

    @property
    def is_dns(self) -> bool:
        """Whether it is a question to a name server, be it a local one that asks others."""
        return self.port in DNS_PORTS or self.address.startswith(RESOLVERS)

    @property
    def is_outside(self) -> bool:
        """Whether it would leave the machine."""
        if self.address.startswith("/"):
            return False
        address = ip_address(self.address.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        inner: IPv4Address | IPv6Address = mapped or address
        # The unspecified address is this machine, as everywhere on Linux.
        return not (inner.is_loopback or inner.is_unspecified)


def attempts(lines: Iterable[str]) -> Counter[Attempt]:
    """Every attempt with how often it was made. Sockets between processes of this machine are not counted, but those of
    resolvers are."""
    return Counter(attempt for line in joined(lines) if (attempt := _attempt(line)) is not None)


def joined(lines: Iterable[str]) -> Iterator[str]:
    """Calls that were interrupted by those of other threads, put together again."""
    begun: dict[str, str] = {}
    for line in lines:
        if (found := _LINE.match(line)) and line.rstrip().endswith("<unfinished ...>"):
            begun[found[1]] = line.rstrip().removesuffix("<unfinished ...>").rstrip()
        elif resumed := _RESUMED.match(line):
            yield begun.pop(resumed[1], "") + resumed[3]
        else:
            yield line
    yield from begun.values()  # the process ended within the call


def _attempt(line: str) -> Attempt | None:
    found = _LINE.match(line)
    if found is None:
        return None
    call, arguments = found[2], found[3]
    result = "ok"
    if ended := list(_RESULT.finditer(arguments)):
        result = ended[-1][2] or "ok"
    for pattern in (_V4, _V6):
        if address := pattern.search(arguments):
            return Attempt(address[2], int(address[1]), call, result)
    if (path := _UNIX.search(arguments)) and path[1].startswith(RESOLVERS):
        return None if result == "ENOENT" else Attempt(path[1], 0, call, result)  # not even a door to knock at
    return None
