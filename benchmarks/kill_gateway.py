"""Kills the gateway again and again while it answers, and looks whether a request was lost or charged twice.

`python -m benchmarks.kill_gateway --kills 1000` runs the request path as the appliance wires it (with its journal, its
ledger and its audit chain) over mock engines, sends it whole and streamed requests all the time, and ends it by SIGKILL
at a random moment, each time; then it is started again on the same data. At the end every request of which the caller
has seen a byte must be in the ledger, once, and where it was answered to the end and its trace says so, with the tokens
that the answer told. Writes `results/kill-gateway.json`.

Each gateway is forked from a process that has all modules loaded, so that a thousand of them take minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
from rich.console import Console

from appliance.bootstrap.auditing import read_key
from appliance.bootstrap.data_dir import locked
from appliance.bootstrap.lineup import Lineup, decide
from appliance.bootstrap.request_wiring import build_request_path
from appliance.bootstrap.server import listen
from appliance.config import load
from appliance.domain.engine import EngineState, EngineStatus
from appliance.domain.fleet import Fleet
from appliance.ledger.audit_chain import first_break
from appliance.ledger.audit_file import chains, lines, read_head, segments
from benchmarks import machine
from tests.cli.pool import MODELS, Pool, make_pool
from tests.fakes.fake_vllm import FakeVllm

RECORD = Path(__file__).parent / "results" / "kill-gateway.json"
CALLERS = 8
LIVES_S = (0.02, 0.25)
"""A gateway is killed at a random moment of this span after its first answer."""
LIMIT_S = 60.0
DIED = "why-a-gateway-ended.txt"
PORTS = range(20_000, 32_000)
"""Below those that the system gives to connections: one of them might have the gateway's when it is started again."""
SEED = 11
ANSWER = "There are seventy nine pens left in the box on the table."


@dataclass(slots=True)
class Asked:
    """One request, as its caller saw it."""

    request_id: str
    begun: bool = False
    tokens: tuple[int, int] | None = None


class Forker:
    """A process with all modules loaded that forks gateways; made before the event loop, which a fork would copy."""

    def __init__(self, config: Path) -> None:
        (ask_from, self._ask), (self._told, told) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._ask)
            os.close(self._told)
            _forking(config, ask_from, told)
            os._exit(0)
        os.close(ask_from)
        os.close(told)

    def fork(self, port: int, engines: tuple[EngineStatus, ...]) -> int:
        """Start a gateway; its pid."""
        document = orjson.dumps([port, [_plain(engine) for engine in engines]])
        os.write(self._ask, len(document).to_bytes(8, "big") + document)
        return int.from_bytes(os.read(self._told, 8), "big")

    def close(self) -> None:
        """End it."""
        os.close(self._ask)
        os.waitpid(self.pid, 0)


def _plain(engine: EngineStatus) -> dict[str, Any]:
    return {name: getattr(engine, name) for name in EngineStatus.__slots__}


def _forking(config: Path, ask: int, told: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that are killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    importlib.import_module("appliance.ledger.migrations")  # which a gateway imports when it opens its ledger
    lineup = decide(load(config, {}))
    while size := int.from_bytes(os.read(ask, 8), "big"):
        port, engines = orjson.loads(os.read(ask, size))
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(_gateway(lineup, port, engines))
            except BaseException:  # whatever it was: the process ends here, and its reason would end with it
                (config.parent / DIED).write_text(traceback.format_exc(), encoding="utf-8")
            finally:
                os._exit(1)
        os.write(told, pid.to_bytes(8, "big"))


async def _gateway(lineup: Lineup, port: int, engines: list[dict[str, Any]]) -> None:
    fleet = Fleet()
    fleet.publish(tuple(EngineStatus(**{**engine, "state": EngineState(engine["state"])}) for engine in engines))
    with ExitStack() as held:
        held.enter_context(locked(lineup.settings.data_dir))
        listener = listen("127.0.0.1", port)
        front = build_request_path(lineup, fleet, listener, held, salt_secret=b"s" * 32)
        await front.start()
        assert front.running is not None
        await front.running


async def measure(forker: Forker, pool: Pool, kills: int, within_s: float, seed: int) -> dict[str, Any]:
    """Kill it so often, or as often as the time allows, and count."""
    draw, asked = random.Random(seed), list[Asked]()
    port = pool.settings["server"]["port"]
    async with _engines() as engines:
        began_s = time.monotonic()
        done = 0
        while done < kills and time.monotonic() - began_s < within_s:
            pid = forker.fork(port, engines)
            asked += await _life(pid, port, pool, draw)
            done += 1
        pid = forker.fork(port, engines)
        await _recovered(port, pool)
        os.kill(pid, signal.SIGKILL)
    return {"kills": done, "seconds": round(time.monotonic() - began_s, 1), **_found(pool, asked)}


@asynccontextmanager
async def _engines() -> AsyncIterator[tuple[EngineStatus, ...]]:
    async with AsyncExitStack() as stack:
        fakes = [FakeVllm(model=model, script={"*": ANSWER}, latency_s=0.002) for model in MODELS]
        for fake in fakes:
            await stack.enter_async_context(fake)
        yield tuple(fake.status() for fake in fakes)


async def _life(pid: int, port: int, pool: Pool, draw: random.Random) -> list[Asked]:
    """One gateway, from its start to its end; the requests that it got."""
    asked, answered = list[Asked](), asyncio.Event()
    connector = aiohttp.TCPConnector(limit=CALLERS)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as session:
        await _healthy(session, pool)
        headers = {"authorization": f"Bearer {(pool.data_dir / 'api-key').read_text().split()[0]}"}
        callers = [
            asyncio.create_task(_calls(session, headers, asked, answered, random.Random(draw.random())))
            for _ in range(CALLERS)
        ]
        with suppress(TimeoutError):
            await asyncio.wait_for(answered.wait(), LIMIT_S)
        await asyncio.sleep(draw.uniform(*LIVES_S))
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*callers)
    while psutil.pid_exists(pid):  # noqa: ASYNC110 (it holds the data directory until the kernel has taken it apart)
        await asyncio.sleep(0.005)
    return asked


async def _healthy(session: aiohttp.ClientSession, pool: Pool) -> None:
    deadline_s, died = time.monotonic() + LIMIT_S, pool.config.parent / DIED
    while time.monotonic() < deadline_s and not died.exists():
        with suppress(aiohttp.ClientError):
            async with session.get("/health") as reply:
                if reply.status == 200:
                    return
        await asyncio.sleep(0.005)
    raise SystemExit(f"the gateway did not start: {died.read_text() if died.exists() else 'it hangs'}")


async def _recovered(port: int, pool: Pool) -> None:
    """A gateway answers once everything that was left is in the ledger, or ten seconds later."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        await _healthy(session, pool)
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        with closing(sqlite3.connect(pool.data_dir / "journal.sqlite")) as journal:
            if not journal.execute("SELECT count(*) FROM pages").fetchone()[0]:
                break
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # the chain's last records are looked through after the journal


async def _calls(
    session: aiohttp.ClientSession,
    headers: dict[str, str],
    asked: list[Asked],
    answered: asyncio.Event,
    draw: random.Random,
) -> None:
    """One caller: a request after the other until nobody answers any more."""
    while True:
        one = Asked(f"kill-{draw.getrandbits(96):024x}")
        asked.append(one)
        body: dict[str, Any] = {
            "model": draw.choice(("auto", "fake-generalist", "fake-math")),
            "messages": [{"role": "user", "content": "How many pens are left?"}],
            "stream": draw.random() < 0.5,
            "max_tokens": 20,
        }
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        try:
            await _call(session, headers | {"x-request-id": one.request_id}, body, one)
        except (aiohttp.ClientError, ConnectionError):
            return
        answered.set()


async def _call(session: aiohttp.ClientSession, headers: dict[str, str], body: dict[str, Any], one: Asked) -> None:
    async with session.post("/v1/chat/completions", json=body, headers=headers) as reply:
        one.begun = reply.status == 200
        text = await reply.text()
        if reply.status != 200:
            return
    if not body["stream"]:
        usage = json.loads(text)["usage"]
    else:
        if not text.rstrip().endswith("[DONE]"):
            return
        usage = next(
            json.loads(line[6:])["usage"] for line in text.splitlines() if '"usage":{' in line.replace(" ", "")
        )
    one.tokens = usage["prompt_tokens"], usage["completion_tokens"]


def _found(pool: Pool, asked: list[Asked]) -> dict[str, Any]:
    """What the ledger says of what the callers saw."""
    with closing(sqlite3.connect(pool.data_dir / "ledger.sqlite")) as ledger:
        whole = ledger.execute("PRAGMA integrity_check").fetchone()[0]
        traces = ledger.execute(
            "SELECT request_id, trace_id, outcome FROM traces UNION ALL "
            "SELECT request_id, trace_id, outcome FROM usage WHERE status IS NOT NULL"
        ).fetchall()
        usage = ledger.execute(
            "SELECT request_id, sum(prompt_tokens), sum(completion_tokens), max(usage_estimated) FROM usage GROUP BY 1"
        ).fetchall()
    times = Counter(request_id for request_id, _, _ in traces)
    outcome = {request_id: ended for request_id, _, ended in traces}
    charged = {request_id: (tokens_in, tokens_out) for request_id, tokens_in, tokens_out, _ in usage}
    begun = [one for one in asked if one.begun]
    answered = [one for one in begun if one.tokens is not None]
    ended_well = [one for one in answered if outcome.get(one.request_id) == "ok"]
    return {
        "requests": len(asked),
        "begun": len(begun),
        "answered": len(answered),
        "interrupted": sum(ended == "interrupted" for ended in outcome.values()),
        "lost": sum(one.request_id not in times for one in begun),
        "charged_twice": sum(count > 1 for count in times.values()),
        "answered_and_recorded_so": len(ended_well),
        "answered_but_recorded_as_interrupted": sum(outcome.get(one.request_id) == "interrupted" for one in answered),
        "charged_otherwise_than_told": sum(charged.get(one.request_id) != one.tokens for one in ended_well),
        "ledger": whole,
        "audit": _audit(pool),
    }


def _audit(pool: Pool) -> str:
    if pool.settings["ledger"]["audit"]["mode"] == "off":
        return "off"
    directory, heads = pool.data_dir / "audit", pool.data_dir / "audit-heads"
    key, told = read_key(pool.data_dir / "audit-key"), list[str]()
    for chain in chains(directory, heads):
        head = read_head(heads, chain)
        broken, at = first_break(chain, lines(segments(directory, chain)), [head] if head else [], key)
        told.append(f"chain {chain}: {broken.problem}" if broken else f"chain {chain}: {at.number} records, whole")
    return "; ".join(told)


def _free_port(draw: random.Random) -> int:
    while True:
        port = draw.choice(PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def run(kills: int, within_s: float, seed: int, audit: str) -> dict[str, Any]:
    """All of it in a temporary directory."""
    with tempfile.TemporaryDirectory() as folder:
        pool = make_pool(Path(folder))
        pool.settings["server"]["port"] = _free_port(random.Random(seed))
        pool.settings["ledger"] = {"keep_content": False, "audit": {"mode": audit}}
        pool.write()
        forker = Forker(pool.config)
        try:
            return asyncio.run(measure(forker, pool, kills, within_s, seed))
        finally:
            forker.close()


def several(kills: int, within_s: float, side_by_side: int, audit: str) -> dict[str, Any]:
    """The kills shared among gateways beside each other, each on data of its own; their figures added up."""
    share = [kills // side_by_side + (number < kills % side_by_side) for number in range(side_by_side)]
    command = [sys.executable, "-m", "benchmarks.kill_gateway", "--json", "--audit", audit]
    command += ["--within-s", str(within_s)]
    children = [
        subprocess.Popen([*command, "--kills", str(count), "--seed", str(SEED + number)], stdout=subprocess.PIPE)
        for number, count in enumerate(share)
    ]
    found = [json.loads(child.communicate()[0]) for child in children]
    counts = {name: sum(one[name] for one in found) for name, value in found[0].items() if isinstance(value, int)}
    told = {name: sorted({one[name] for one in found}) for name in ("ledger", "audit")}
    return {**counts, "seconds": max(one["seconds"] for one in found), **told, "side_by_side": side_by_side}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--side-by-side", type=int, default=1, help="so many gateways at a time")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--audit", default="required", choices=("required", "off"), help="off: the journal alone holds it"
    )
    parser.add_argument("--within-s", type=float, default=7_200, help="end sooner where that takes longer")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and record nothing")
    arguments = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the engines' callers are killed all the time
    if arguments.side_by_side > 1:
        result = several(arguments.kills, arguments.within_s, arguments.side_by_side, arguments.audit)
    else:
        result = run(arguments.kills, arguments.within_s, arguments.seed, arguments.audit)
    if arguments.json:
        print(json.dumps(result))
    else:
        Console().print(result)
        RECORD.write_text(json.dumps({"machine": machine.describe(), **result}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
