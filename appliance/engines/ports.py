"""Free TCP ports on loopback."""

from __future__ import annotations

import socket

from appliance.errors import EngineStartError

LAST_PORT = 65_535


def free_ports(first: int, count: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """The first `count` ports from `first` on that nothing listens on. Raises EngineStartError."""
    found: list[int] = []
    for port in range(first, LAST_PORT + 1):
        if len(found) == count:
            break
        if is_free(port, host):
            found.append(port)
    if len(found) < count:
        raise EngineStartError(f"no {count} free ports from {first} on; set engines.first_port lower")
    return tuple(found)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
