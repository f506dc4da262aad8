"""Packets on the loopback interface of a namespace in which every address leads there: what was sent, and for where.

The second way to record attempts, where there is no strace. Nothing leaves the machine: a route takes all addresses of
the world for this machine's own, so that a connection is refused at once, and each packet is seen on its way.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from appliance.airgap.strace_log import Attempt

LOOPBACK = "lo"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_RTM_NEWROUTE, _REQUEST, _ACK, _CREATE = 24, 1, 4, 0x400
_TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _SCOPE_WORLD, _TYPE_LOCAL, _OUT_INTERFACE = 255, 4, 254, 0, 2, 4
_ETHERTYPE_ALL, _IPV4, _IPV6, _TCP, _UDP, _SYN, _SYN_ACK = 3, 0x0800, 0x86DD, 6, 17, 0x02, 0x12


def raise_loopback() -> None:
    """Turn the loopback interface on: in a new namespace it is off. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = LOOPBACK.encode()
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", name, 0)))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | _IFF_UP))


def take_all_addresses() -> None:
    """Make every address this machine's own. For a namespace of its own alone. Raises OSError."""
    for family, scope in ((socket.AF_INET, _SCOPE_HOST), (socket.AF_INET6, _SCOPE_WORLD)):
        body = struct.pack("BBBBBBBBI", family, 0, 0, 0, _TABLE_LOCAL, _PROTOCOL_STATIC, scope, _TYPE_LOCAL, 0)
        body += struct.pack("HHI", 8, _OUT_INTERFACE, socket.if_nametoindex(LOOPBACK))
        head = struct.pack("IHHII", 16 + len(body), _RTM_NEWROUTE, _REQUEST | _ACK | _CREATE, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
            route.send(head + body)
            error = struct.unpack("i", route.recv(4096)[16:20])[0]
        if error and family == socket.AF_INET:
            raise OSError(-error, os.strerror(-error))  # without IPv6 in the kernel there is nothing to record of it


@contextmanager
def recorded() -> Iterator[Counter[Attempt]]:
    """The attempts that are made while the block runs; complete when it has ended. Raises OSError."""
    found: Counter[Attempt] = Counter()
    done_read, done_write = os.pipe()
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETHERTYPE_ALL)) as tap:
        tap.bind((LOOPBACK, _ETHERTYPE_ALL))
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        reader = threading.Thread(target=_read, args=(tap, done_read, found), daemon=True)
        reader.start()
        try:
            yield found
        finally:
            os.write(done_write, b"x")
            reader.join()
            os.close(done_read)
            os.close(done_write)


def _read(tap: socket.socket, done: int, found: Counter[Attempt]) -> None:
    """Until `done` can be read and no packet is left."""
    watched: list[Any] = [tap, done]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if tap not in ready:
            return
        packet, (_, protocol, direction, *_) = tap.recvfrom(256)
        # Each packet is seen twice on loopback: on its way out and in.
        if direction == socket.PACKET_OUTGOING and (attempt := read_packet(protocol, packet)) is not None:
            found[attempt] += 1


def read_packet(protocol: int, packet: bytes) -> Attempt | None:
    """Who is addressed, by the beginning of a connection or by a datagram; None for answers and whatever else."""
    if protocol == _IPV4 and len(packet) >= 20:
        at, kind, address = (packet[0] & 0xF) * 4, packet[9], packet[16:20]
    elif protocol == _IPV6 and len(packet) >= 40:
        at, kind, address = 40, packet[6], packet[24:40]
    else:
        return None
    if kind not in {_TCP, _UDP} or len(packet) < at + 14 - 6 * (kind == _UDP):
        return None
    if kind == _TCP and packet[at + 13] & _SYN_ACK != _SYN:
        return None
    port = int.from_bytes(packet[at + 2 : at + 4], "big")
    return Attempt(str(ip_address(address)), port, "tcp" if kind == _TCP else "udp", "seen")
