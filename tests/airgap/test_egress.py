"""Whom a command tried to reach: planted attempts are seen by either method, and silence is told from blindness."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.airgap import egress
from appliance.airgap.egress import PACKETS, STRACE, watch
from appliance.airgap.packets import read_packet
from appliance.airgap.strace_log import Attempt, attempts
from appliance.errors import EgressUnknown

ENVIRONMENT = dict(os.environ)

METHODS = [
    pytest.param(STRACE, marks=pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")),
    PACKETS,
]

TALK = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
"""
CALL_OUT = """
import socket
for family, address in ((socket.AF_INET, "192.0.2.7"), (socket.AF_INET6, "2001:db8::7")):
    with socket.socket(family) as caller:
        caller.settimeout(2)
        try:
            caller.connect((address, 443))
        except OSError:
            pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    try:
        asker.sendto(b"question", ("198.51.100.53", 53))
    except OSError:
        pass
"""
IN_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CALL_OUT!r}])"


def namespaces() -> bool:
    done = subprocess.run(["unshare", "-rn", "true"], capture_output=True)
    return done.returncode == 0


needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None or not namespaces(), reason="this machine allows no network namespaces"
)


@needs_namespaces
@pytest.mark.parametrize("method", METHODS)
def test_loopback_alone_is_no_attempt(method: str) -> None:
    seen = watch([sys.executable, "-c", TALK], ENVIRONMENT, method)
    assert (seen.code, seen.outside) == (0, ())
    assert seen.loopback >= 1


@needs_namespaces
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("program", [CALL_OUT, IN_A_CHILD])
def test_planted_attempts_are_seen(method: str, program: str) -> None:
    seen = watch([sys.executable, "-c", program], ENVIRONMENT, method)
    assert seen.code == 0
    assert {("192.0.2.7", 443), ("198.51.100.53", 53)} <= {(a.address, a.port) for a, _ in seen.outside}
    if Path("/proc/net/if_inet6").exists():
        assert ("2001:db8::7", 443) in {(a.address, a.port) for a, _ in seen.outside}
    assert all(attempt.is_dns == (attempt.port == 53) for attempt, _ in seen.outside)


@needs_namespaces
@pytest.mark.parametrize("method", METHODS)
def test_the_exit_code_is_that_of_the_command(method: str) -> None:
    assert watch([sys.executable, "-c", "raise SystemExit(7)"], ENVIRONMENT, method).code == 7


def test_a_machine_that_can_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert egress.best_method() == PACKETS
    with pytest.raises(EgressUnknown, match="unshare"):
        watch(["true"], ENVIRONMENT)


LOG = """\
100 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("93.184.216.34")}, 16) = -1 ENETUNREACH (x)
101 connect(4, {sa_family=AF_INET, sin_port=htons(8100), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 EINPROGRESS (x)
101 connect(4, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
102 connect(5, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \
"2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (x)
102 connect(5, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", \
&sin6_addr), sin6_scope_id=0}, 28) = 0
102 connect(5, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(\
AF_INET6, "::ffff:10.0.0.1", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (x)
103 connect(6, {sa_family=AF_UNIX, sun_path="/run/systemd/resolve/io.systemd.Resolve"}, 42) = 0
103 connect(6, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (x)
103 connect(6, {sa_family=AF_UNIX, sun_path="/tmp/mine"}, 110) = 0
103 sendto(7, "x"..., 24, 0, {sa_family=AF_INET, sin_port=htons(123), sin_addr=inet_addr("192.0.2.1")}, 16) = 24
104 connect(8, {sa_family=AF_INET, sin_port=htons(22), sin_addr=inet_addr("192.0.2.2")}, 16 <unfinished ...>
105 sendto(9, "y", 1, MSG_NOSIGNAL, NULL, 0) = 1
104 <... connect resumed>)      = -1 ETIMEDOUT (x)
106 connect(8, {sa_family=AF_INET, sin_port=htons(25), sin_addr=inet_addr("192.0.2.3")}, 16 <unfinished ...>
"""


def test_what_strace_writes() -> None:
    seen = attempts(LOG.splitlines())
    assert {(a.address, a.port, a.result) for a in seen if a.is_outside} == {
        ("93.184.216.34", 443, "ENETUNREACH"),
        ("2001:db8::1", 80, "ENETUNREACH"),
        ("::ffff:10.0.0.1", 80, "ENETUNREACH"),
        ("192.0.2.1", 123, "ok"),
        ("192.0.2.2", 22, "ETIMEDOUT"),
        ("192.0.2.3", 25, "ok"),
    }
    assert {a.address for a in seen if a.is_dns} == {"127.0.0.53", "/run/systemd/resolve/io.systemd.Resolve"}
    assert {a.address for a in seen if not a.is_dns and not a.is_outside} == {"127.0.0.1", "::1"}


def test_packets_that_are_no_attempts() -> None:
    answer = bytes(
        [0x45, *bytes(8), 6, *bytes(2), 127, 0, 0, 1, 192, 0, 2, 1, 0, 80, 1, 187, *bytes(9), 0x12, *bytes(6)]
    )
    assert read_packet(0x0800, answer) is None
    assert read_packet(0x0806, answer) is None
    assert read_packet(0x0800, answer[:30]) is None
    call = answer[:33] + b"\x02" + answer[34:]
    assert read_packet(0x0800, call) == Attempt("192.0.2.1", 443, "tcp", "seen")
