"""The key on every route of an engine, driven as plain ASGI."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.engines import in_engine
from appliance.engines.in_engine.appliance_key import ApplianceKey

KEY = b"Bearer engine-key"


def asked(monkeypatch: pytest.MonkeyPatch, **scope: Any) -> tuple[bool, list[Any]]:
    """Whether the server behind was reached, and what was sent otherwise."""
    monkeypatch.setenv("VLLM_API_KEY", "engine-key")
    reached, sent = [], []

    async def server(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read of a request that is refused")

    full = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], **scope}
    asyncio.run(ApplianceKey(server)(full, receive, send))
    return bool(reached), sent


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/invocations", "/tokenize", "/sleep", "/collective_rpc", "/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_route_answers_without_the_key(monkeypatch: pytest.MonkeyPatch, path: str, method: str) -> None:
    for headers in ([], [(b"authorization", b"Bearer other")], [(b"authorization", KEY), (b"authorization", KEY)]):
        reached, sent = asked(monkeypatch, path=path, method=method, headers=headers)
        assert not reached
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert sent[0]["status"] == 401
    assert asked(monkeypatch, path=path, method=method, headers=[(b"authorization", KEY)])[0]


@pytest.mark.parametrize(("method", "path", "open_"), [
    ("GET", "/health", True), ("GET", "/metrics", True), ("POST", "/health", False), ("GET", "/metrics/", False),
    ("GET", "/health/../invocations", False),
])  # fmt: skip
def test_only_health_and_figures_are_open(monkeypatch: pytest.MonkeyPatch, method: str, path: str, open_: bool) -> None:
    assert asked(monkeypatch, method=method, path=path)[0] is open_


def test_sockets_need_it_too_and_the_start_of_the_server_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    reached, sent = asked(monkeypatch, type="websocket", path="/v1/realtime")
    assert not reached
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert asked(monkeypatch, type="lifespan")[0]


def test_it_needs_nothing_but_the_standard_library() -> None:
    directory = Path(in_engine.__file__).parent
    code = f"import sys; sys.path.append({str(directory)!r}); import appliance_key"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
