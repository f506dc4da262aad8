"""`appliance up` as a user runs it, with fake vLLM processes as engines: it comes up, and it leaves nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.pool import Pool, end, family, get, make_pool, stop, wait_for, wait_until_running
from tests.fakes.fake_pool_engine import ANSWER, QUESTION


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path)


@pytest.fixture
def child(pool: Pool) -> Iterator[subprocess.Popen[str]]:
    """`appliance up`, not waited for."""
    started = pool.up()
    yield started
    end(started)


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=5)[1]


def test_from_up_through_ask_to_ctrl_c(pool: Pool, child: subprocess.Popen[str]) -> None:
    url = wait_until_running(pool, child)
    assert get(f"{url}/ready") == 200
    assert get(f"{url}/v1/models") == 401
    asked = pool.run("ask", QUESTION, "--trace")
    assert asked.stdout.splitlines()[0] == ANSWER, asked.stderr
    assert "plan_execute_verify" in asked.stdout
    assert "✓" in asked.stdout
    streamed = pool.run("ask", QUESTION, "--stream")
    assert streamed.stdout == f"{ANSWER}\n"
    assert "s1" in streamed.stderr
    listed = pool.run("trace", "list")
    trace_id = listed.stdout.splitlines()[1].split()[0]
    assert "84" in pool.run("trace", "show", trace_id).stdout
    status = pool.run("status")
    assert "4 of 4 engines ready" in status.stdout
    below = family(child)
    code, output = stop(child)
    assert code == 0, output
    assert f"ready at {url}/v1" in output
    assert "Traceback" not in output
    assert gone(below)
    assert pool.running() == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_in_the_middle_of_the_start(pool: Pool, number: signal.Signals, code: int, tmp_path: Path) -> None:
    (tmp_path / "slow-fake-math").write_text("60")
    child = pool.up()
    try:
        wait_for(lambda: len(family(child)) >= 8, child)
        below = family(child)
        ended_with, output = stop(child, number)
    finally:
        end(child)
    assert ended_with == code, output
    assert "Traceback" not in output
    assert gone(below)
    assert pool.running() == {}


def test_second_run_works_after_a_killed_one(pool: Pool, child: subprocess.Popen[str]) -> None:
    wait_until_running(pool, child)
    below = family(child)
    child.kill()
    child.communicate()
    assert gone(below)
    second = pool.up()
    try:
        wait_until_running(pool, second)
        assert stop(second)[0] == 0
    finally:
        end(second)


def test_second_up_on_the_same_data_directory(pool: Pool, child: subprocess.Popen[str]) -> None:
    url = wait_until_running(pool, child)
    second = pool.run("up")
    assert second.returncode == 1
    holder = f"an appliance (pid {child.pid}) is already running on {pool.data_dir}"
    assert second.stderr == f"error: {holder}; stop it, or set another data_dir\n"
    assert get(f"{url}/ready") == 200


def test_port_in_use_is_found_before_any_engine_starts(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", pool.settings["server"]["port"])):
        done = pool.run("up")
    assert done.returncode == 1
    assert f"error: port {pool.settings['server']['port']} on 127.0.0.1 is in use" in done.stderr
    assert "engine" not in done.stdout
    assert not (pool.data_dir / "logs" / "engines").exists()


def test_engine_that_dies_at_start(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "fail-fake-verifier").write_text("ValueError: no such kernel")
    done = pool.run("up")
    assert done.returncode == 1
    assert done.stderr.startswith("error: engine fake-verifier")
    assert "no such kernel" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    (tmp_path / "fail-fake-verifier").unlink()
    second = pool.up()
    try:
        wait_until_running(pool, second)
        assert stop(second)[0] == 0
    finally:
        end(second)


def test_interpreter_that_is_not_there(pool: Pool) -> None:
    pool.settings["engines"]["python"] = "/nowhere/python"
    pool.write()
    done = pool.run("up")
    assert done.returncode in {1, 2}
    assert "/nowhere/python" in done.stderr
