"""`appliance up --workers` and `appliance serve --workers`: one door, one fleet, several processes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.apart import ask, chat, fetch, make_gateway, make_pack, start, wait_until_started
from tests.cli.pool import Pool, end, family, make_pool, stop, wait_for, wait_until_running
from tests.fakes.fake_pool_engine import ANSWER, QUESTION


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


@pytest.fixture
def child(pool: Pool) -> Iterator[subprocess.Popen[str]]:
    started = start(pool, "up", "--workers", "2")
    yield started
    end(started)


def workers(child: subprocess.Popen[str]) -> list[psutil.Process]:
    return [process for process in family(child) if "worker" in command_of(process)]


def command_of(process: psutil.Process) -> list[str]:
    """Empty for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a ZombieProcess is one too
        return []


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def answered(url: str, key: str) -> float:
    """Chat requests that the metrics of all workers count."""
    lines = fetch(f"{url}/metrics", key).splitlines()
    counted = [line for line in lines if line.startswith("appliance_requests_total") and "chat" in line]
    return sum(float(line.split()[-1]) for line in counted)


def test_workers_share_a_door_a_fleet_and_their_metrics(pool: Pool, child: subprocess.Popen[str]) -> None:
    url = wait_until_running(pool, child)
    key = (pool.data_dir / "api-key").read_text().strip()
    assert len(workers(child)) == 2
    for _ in range(10):
        status, answer = ask(url, key, chat("auto", QUESTION))
        assert (status, answer["choices"][0]["message"]["content"]) == (200, ANSWER)
    wait_for(lambda: answered(url, key) == 10, child)
    shown = fetch(f"{url}/fleet", key)["engines"]
    assert {engine["max_num_seqs"] for engine in shown} == {32}, "half of the places each"
    assert {engine["engine_id"] for engine in shown} == {
        f"fake-{name}-0" for name in ("planner", "math", "verifier", "generalist")
    }
    assert len(fetch(f"{url}/v1/traces?limit=50", key)["data"]) == 10, "one ledger"

    killed = workers(child)[0]
    killed.kill()
    wait_for(lambda: len(workers(child)) == 2 and killed not in workers(child), child)
    wait_for(lambda: ask_quietly(url, key) == 200, child)
    assert answered(url, key) >= 10, "what a killed worker had told still counts"

    below = family(child)
    code, output = stop(child, signal.SIGTERM)
    assert (code, "Traceback" in output) == (0, False), output
    assert gone(below)


def ask_quietly(url: str, key: str) -> int:
    """A connection to a worker that was just killed may be reset."""
    try:
        return ask(url, key, chat("fake-generalist", "hello"))[0]
    except OSError:
        return 0


def test_nothing_outlives_a_killed_main_process(pool: Pool, child: subprocess.Popen[str]) -> None:
    wait_until_running(pool, child)
    below = family(child)
    assert len(below) > 6
    child.kill()
    child.communicate()
    assert gone(below)


def test_workers_of_a_gateway_follow_the_packs_through_their_main_process(tmp_path: Path) -> None:
    pack = make_pack(tmp_path, "pack-a")
    gateway = make_gateway(tmp_path, pack, workers=2)
    children = [start(pack, "engines")]
    try:
        wait_until_started(pack, children[0])
        children.append(start(gateway, "serve"))
        url = wait_until_running(gateway, children[1])
        key = (gateway.data_dir / "api-key").read_text().strip()
        wait_for(lambda: fetch_ready(url, key) == 4, children[1])
        for _ in range(4):
            assert ask(url, key, chat("auto", QUESTION))[1]["choices"][0]["message"]["content"] == ANSWER
        below = family(children[1])
        code, output = stop(children[1], signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
        assert gone(below)
    finally:
        for child in children:
            end(child)


def fetch_ready(url: str, key: str) -> int:
    return sum(engine["state"] == "ready" for engine in fetch(f"{url}/fleet", key)["engines"])
