"""TCP ports on loopback for engines: claimed before vLLM, which binds its port many seconds later, is started."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

from appliance.errors import EngineStartError

LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class PortClaim:
    """Ports that no other appliance on this machine takes until `close`, or until this process ends."""

    ports: tuple[int, ...]
    marks: tuple[socket.socket, ...]

    def close(self) -> None:
        """Others may have them."""
        for mark in self.marks:
            mark.close()


def claim_ports(first: int, count: int, host: str = "127.0.0.1") -> PortClaim:
    """Claim the first `count` ports from `first` on that nothing listens on. Raises EngineStartError."""
    ports: list[int] = []
    marks: list[socket.socket] = []
    for port in range(first, LAST_PORT + 1):
        if len(ports) == count:
            break
        if is_free(port, host) and (mark := _mark(port)) is not None:
            ports.append(port)
            marks.append(mark)
    claim = PortClaim(tuple(ports), tuple(marks))
    if len(ports) < count:
        claim.close()
        raise EngineStartError(f"no {count} free ports from {first} on; set engines.first_port lower")
    return claim


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _mark(port: int) -> socket.socket | None:
    """A name that only one process can hold; None when another one holds it.

    On Linux an abstract Unix address: it belongs to the network namespace, as the port does, leaves no file, and the
    kernel frees it with the process. Elsewhere a socket without a name, which claims nothing.
    """
    mark = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":
            mark.bind(f"\0appliance-engine-port-{port}")
    except OSError:
        mark.close()
        return None
    return mark
