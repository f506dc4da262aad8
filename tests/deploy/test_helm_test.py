"""What `helm test` runs, run here: against doors that answer rightly and wrongly, and without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy import chart

SCRIPTS = chart.CHART / "files" / "tests"


def run(script: str, *prefix: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script as the pod runs it: with nothing but its variables."""
    command = [*prefix, sys.executable, "-I", str(SCRIPTS / script)]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, timeout=60
    )


@contextmanager
def answering(status: int, body: str, keys: tuple[str, ...] = ()) -> Iterator[str]:
    """A gateway's door that answers all with one answer; with `keys` only who has one of them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            known = not keys or self.headers.get("authorization") in [f"Bearer {key}" for key in keys]
            payload = (body if known else "{}").encode()
            self.send_response(status if known else 401)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


ANSWER = (
    '{{"choices": [{{"message": {{"content": "{text}"}}}}], "appliance": {{"strategy": "plan_execute_verify", '
    '"calls": {calls}}}}}'
)


@pytest.mark.parametrize(
    ("text", "calls", "code", "words"),
    [
        ("79", 7, 0, "plan_execute_verify, 7 calls, 2 characters"),
        ("79", 1, 1, "several calls was expected"),
        ("", 7, 1, "several calls was expected"),
    ],
)
def test_an_orchestrated_answer_is_wanted(text: str, calls: int, code: int, words: str, tmp_path: Path) -> None:
    key = tmp_path / "api-keys"
    key.write_text("first\nsecond\n", encoding="utf-8")
    with answering(200, ANSWER.format(text=text, calls=calls), keys=("first",)) as url:
        result = run("orchestrated.py", URL=url, KEY_FILE=str(key), QUESTION="12 × 7 − 5?", TIMEOUT_S="5")
    assert result.returncode == code, result
    assert words in result.stdout + result.stderr


def test_a_request_without_a_key_must_be_refused() -> None:
    with answering(200, "{}", keys=("k",)) as url:
        result = run("refused.py", URL=url, TIMEOUT_S="5")
    assert result.returncode == 0, result
    assert result.stdout.count("401") == 2
    with answering(200, "{}") as url:
        result = run("refused.py", URL=url, TIMEOUT_S="5")
    assert result.returncode == 1
    assert "401 was expected" in result.stderr


def test_a_target_that_can_be_reached_fails_the_test() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        result = run("egress.py", TARGETS=f"127.0.0.1:1 {target}", PLACE="where a pack stands")
    assert result.returncode == 1
    assert f"{target}: REACHED" in result.stdout
    assert "where a pack stands" in result.stderr
    assert "127.0.0.1:1: not reached" in result.stdout


def test_without_a_network_nothing_is_reached() -> None:
    """In a network namespace of its own, with the targets of the default values."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this machine makes no network namespaces")
    targets = chart.chart().values["tests"]["egressTargets"]
    result = run("egress.py", "unshare", "-rn", TARGETS=" ".join(targets), PLACE="a namespace")
    assert result.returncode == 0, result
    assert result.stdout.count("not reached") == len(targets)


def test_pods_run_the_scripts_that_are_there() -> None:
    pods = {
        pod.owner.removeprefix("Pod/demo-appliance-test-"): pod.spec["containers"][0]
        for pod in chart.pods("default")
        if pod.owner.startswith("Pod/")
    }
    assert {name: container["command"][-1] for name, container in pods.items()} == {
        "orchestrated": "/tests/orchestrated.py",
        "refused": "/tests/refused.py",
        "egress-gateway": "/tests/egress.py",
        "egress-pack": "/tests/egress.py",
    }
    mounted = chart.named("default", "ConfigMap", "-tests")["data"]
    assert {name: text.rstrip() for name, text in mounted.items()} == {
        file.name: file.read_text(encoding="utf-8").rstrip() for file in SCRIPTS.glob("*.py")
    }
    for container in pods.values():
        variables = {entry["name"] for entry in container["env"]}
        script = (SCRIPTS / Path(container["command"][-1]).name).read_text(encoding="utf-8")
        assert {
            name for name in ("URL", "KEY_FILE", "QUESTION", "TIMEOUT_S", "TARGETS", "PLACE") if name in script
        } == variables
