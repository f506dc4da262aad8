"""Packs and a gateway as processes of their own, with fake vLLM engines: `appliance engines` and `appliance serve`."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cli.pool import ROOT, Pool, free_port, get, make_pool, wait_for

KEY = "k" * 40


def make_pack(directory: Path, name: str) -> Pool:
    """A pack with an engine for each model of the fake pool."""
    below = directory / name
    below.mkdir()
    pool = make_pool(below)
    key_file = directory / "pack-key"
    key_file.write_text(f"{KEY}\n")
    pool.settings["cluster"] = {"key_file": str(key_file), "door": {"name": name, "port": free_port()}}
    pool.write()
    return pool


def door_of(pack: Pool) -> str:
    """Where a pack's door is."""
    return f"http://127.0.0.1:{pack.settings['cluster']['door']['port']}"


def make_gateway(directory: Path, *packs: Pool, **server: Any) -> Pool:
    """A gateway for the models of the first pack, over all of them."""
    settings = copy.deepcopy(packs[0].settings)
    catalog = packs[0].directory / "catalog"
    settings |= {
        "data_dir": str(directory / "gateway" / "data"),
        "server": {"port": free_port(), **server},
        "models": {"catalog": str(catalog), "store": "/nowhere"},
        "cluster": {
            "key_file": packs[0].settings["cluster"]["key_file"],
            "discovery": {"urls": [door_of(pack) for pack in packs], "silent_s": 2},
        },
    }
    below = directory / "gateway"
    below.mkdir(exist_ok=True)
    gateway = Pool(below, settings)
    gateway.write()
    return gateway


def start(pool: Pool, *verb: str) -> subprocess.Popen[str]:
    """A verb as a child in a session of its own."""
    return subprocess.Popen(
        pool.command(*verb),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until_started(pack: Pool, child: subprocess.Popen[str]) -> str:
    """The door's address, once every engine has generated a token."""
    url = door_of(pack)
    wait_for(lambda: _status(f"{url}/started") == 200, child)
    return url


def ask(url: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a chat request."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def fetch(url: str, key: str) -> Any:
    """A JSON document, or a text."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        content = reply.read()
    return json.loads(content) if reply.headers["content-type"] == "application/json" else content.decode()


def chat(model: str, question: str) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def within(seconds: float) -> float:
    """A moment on the monotonic clock."""
    return time.monotonic() + seconds


def _status(url: str) -> int:
    try:
        return get(url)
    except OSError:
        return 0
