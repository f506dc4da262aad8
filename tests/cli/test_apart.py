"""`appliance engines` and `appliance serve` as their users run them, with fake vLLM processes as engines."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil

from tests.cli.apart import (
    KEY,
    ask,
    chat,
    door_of,
    fetch,
    make_gateway,
    make_pack,
    start,
    wait_until_started,
)
from tests.cli.pool import end, family, get, stop, wait_for, wait_until_running
from tests.fakes.fake_pool_engine import ANSWER, QUESTION


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def test_a_gateway_over_two_packs_answers_goes_on_without_one_and_leaves_nothing(tmp_path: Path) -> None:
    first, second = make_pack(tmp_path, "pack-a"), make_pack(tmp_path, "pack-b")
    gateway = make_gateway(tmp_path, first, second)
    children: list[subprocess.Popen[str]] = []
    try:
        packs = [start(pack, "engines") for pack in (first, second)]
        children += packs
        for pack, child in zip((first, second), packs, strict=True):
            url = wait_until_started(pack, child)
            assert (get(f"{url}/health"), get(f"{url}/ready"), get(f"{url}/pack"), get(f"{url}/metrics")) == (
                *(200, 200),
                *(401, 401),
            )
        door = start(gateway, "serve")
        children.append(door)
        url = wait_until_running(gateway, door)
        key = (gateway.data_dir / "api-key").read_text().strip()
        assert get(f"{url}/ready", key) == 200
        status, answer = ask(url, key, chat("auto", QUESTION))
        assert (status, answer["choices"][0]["message"]["content"]) == (200, ANSWER)
        shown = fetch(f"{url}/fleet", key)["engines"]
        assert len({engine["engine_id"] for engine in shown}) == 8
        assert {engine["engine_id"].split("/")[0] for engine in shown} == {"pack-a", "pack-b"}
        assert "appliance_engine_memory_measured_bytes" in fetch(f"{door_of(first)}/metrics", KEY)

        below = family(packs[0])
        packs[0].kill()
        packs[0].communicate()
        assert gone(below)
        wait_for(lambda: sum(e["state"] == "ready" for e in fetch(f"{url}/fleet", key)["engines"]) == 4, door)
        for _ in range(4):
            assert ask(url, key, chat("fake-generalist", "hello"))[0] == 200

        below = family(packs[1])
        code, output = stop(packs[1], signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
        assert gone(below)
        assert ask(url, key, chat("fake-generalist", "hello"))[0] == 503
        code, output = stop(door, signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
    finally:
        for child in children:
            end(child)


def test_wrong_input_is_one_error(tmp_path: Path) -> None:
    pack = make_pack(tmp_path, "pack-a")
    nowhere = pack.run("serve")
    assert (nowhere.returncode, "cluster.discovery: names no pack" in nowhere.stderr) == (2, True), nowhere.stderr
    without_plan = pack.run("engines", "--pack", "pack-0")
    assert (without_plan.returncode, "--plan FILE" in without_plan.stderr) == (2, True), without_plan.stderr
    (tmp_path / "pack-key").write_text("short\n")
    short = pack.run("engines")
    assert (short.returncode, "expected keys of 32" in short.stderr) == (2, True), short.stderr
