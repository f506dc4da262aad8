"""How evenly connections are divided among worker processes: one inherited socket, or a socket each (SO_REUSEPORT).

    python -m benchmarks.worker_sockets

Each of some uvicorn processes (uvloop, httptools, 0.5 ms of work a request) answers with its pid. Callers open 64
connections, at once or one after the other, and keep them. The figure is the busiest process' connections divided by
an equal share, median and worst of 12 rounds; 1 is even. Both ways are measured in turn in one run.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from benchmarks.machine import describe

CONNECTIONS, ROUNDS, WORK_S, APART_S = 64, 12, 0.0005, 0.003
RESULT = Path(__file__).parent / "results" / "worker-sockets.json"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: half a millisecond of work, then the pid."""
    del receive
    assert scope["type"] == "http"
    until_s = time.perf_counter() + WORK_S
    while time.perf_counter() < until_s:
        pass
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def listening(port: int, *, shared: bool) -> socket.socket:
    """A listening socket on loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    return listener


def started(listener: socket.socket) -> int:
    """The pid of a process that answers there."""
    pid = os.fork()
    if pid:
        return pid
    options: dict[str, Any] = {"log_level": "warning", "lifespan": "off", "http": "httptools", "loop": "uvloop"}
    uvicorn.Server(uvicorn.Config(answer, access_log=False, **options)).run(sockets=[listener])
    os._exit(0)


async def connections(port: int, *, at_once: bool) -> Counter[bytes]:
    """Who got how many."""
    writers = []

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        return await reader.readexactly(length)

    async def one_by_one() -> list[bytes]:
        pids = []
        for _ in range(CONNECTIONS):
            pids.append(await one())
            await asyncio.sleep(APART_S)
        return pids

    pids = await asyncio.gather(*(one() for _ in range(CONNECTIONS))) if at_once else await one_by_one()
    for writer in writers:
        writer.close()
    return Counter(pids)


def measure(workers: int, *, shared: bool) -> dict[str, dict[str, float]]:
    """Busiest ÷ equal share, for connections at once and one by one."""
    first = listening(0, shared=shared)
    port = first.getsockname()[1]
    sockets = [first, *(listening(port, shared=True) if shared else first for _ in range(workers - 1))]
    pids = [started(listener) for listener in sockets]
    figures = {}
    try:
        time.sleep(3)  # until all of them accept
        for name, at_once in (("at once", True), ("one by one", False)):
            counts = [asyncio.run(connections(port, at_once=at_once)) for _ in range(ROUNDS)]
            busiest = [max(count.values()) * workers / CONNECTIONS for count in counts]
            figures[name] = {"median": round(statistics.median(busiest), 2), "worst": round(max(busiest), 2)}
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)
        for listener in set(sockets):
            listener.close()
    return figures


def main() -> None:
    """Measure, print and record."""
    result: dict[str, Any] = {"machine": describe(), "busiest_over_equal_share": {}}
    for workers in (2, 4):
        for name, shared in (("one inherited socket", False), ("a socket each", True)):
            found = measure(workers, shared=shared)
            result["busiest_over_equal_share"][f"{workers} workers, {name}"] = found
            print(f"{workers} workers, {name}: {json.dumps(found)}", flush=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
