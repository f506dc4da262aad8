"""Incidents of others that must not happen here; docs/threats.md says which test holds which."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from appliance.errors import InvalidRequest
from appliance.gateway.openai.body import DEFAULT_LIMITS
from appliance.gateway.openai.responses.body import parse
from tests.gateway.door import KEY, call, chat, house

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
THREATS = ROOT / "docs" / "threats.md"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?==\S+( ; .*)? \\$")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_is_pinned_with_hashes(lock: Path) -> None:
    lines = [line for line in lock.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    named = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    assert named, lock.name
    for index in named:
        if lines[index].startswith("--"):
            continue
        assert _PINNED.match(lines[index]), f"{lock.name}: {lines[index]}"
        assert "--hash=sha256:" in lines[index + 1]


def test_no_router_of_others_is_inside() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    inside = [lock for lock in LOCKS if lock.name in {"appliance.txt", "appliance-runtime.txt"}]
    names = " ".join([*project["dependencies"], *(lock.read_text(encoding="utf-8") for lock in inside)])
    assert "litellm" not in names


@pytest.mark.parametrize(
    "key",
    [b"' OR 1=1 --", b"sk-' UNION SELECT 'x", b"sk-%", b"sk-_" * 8, b'"; DROP TABLE keys; --', b"\\x00", b"*", b"null"],
)
def test_a_key_is_looked_up_and_never_part_of_a_query(key: bytes) -> None:
    reply = call(house().app, "GET", "/v1/models", headers=[(b"authorization", b"Bearer " + key)])
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "header",
    [
        (b"host", b"127.0.0.1/health"), (b"host", b"x/health?"), (b"host", b"test@/health"), (b"host", b""),
        (b"x-forwarded-host", b"localhost"), (b"x-forwarded-prefix", b"/health"), (b"x-original-url", b"/health"),
        (b"x-rewrite-url", b"/health"), (b"forwarded", b"host=localhost"), (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-http-method-override", b"OPTIONS"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/metrics", "/fleet"])
def test_no_header_opens_a_path(header: tuple[bytes, bytes], path: str) -> None:
    assert call(house().app, "GET", path, headers=[header]).status == 401


def test_what_callers_say_of_images_reaches_no_network() -> None:
    for url in ("http://10.0.0.1/x.png", "https://x/y.png", "file:///etc/passwd", "gopher://x", "//x/y.png"):
        parts = [{"type": "image_url", "image_url": {"url": url}}]
        reply = call(house().app, body=chat(messages=[{"role": "user", "content": parts}]))
        assert (reply.status, reply.error["param"]) == (400, "messages[0].content[0].image_url.url")
        items = f'{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_image","image_url":"{url}"}}]}}]}}'
        with pytest.raises(InvalidRequest, match="nothing is fetched"):
            parse(items.encode(), DEFAULT_LIMITS)


@pytest.mark.parametrize("kind", ["video_url", "input_video", "input_audio", "file", "image_embeds", "prompt_embeds"])
def test_media_that_engines_would_decode_are_refused(kind: str) -> None:
    parts = [{"type": kind, kind: {"url": "data:video/mp4;base64,AAAA"}}]
    assert call(house().app, body=chat(messages=[{"role": "user", "content": parts}])).status == 400


def test_n_is_low_on_every_route_that_has_it() -> None:
    for path, body in (
        ("/v1/chat/completions", chat(n=16_384)),
        ("/v1/completions", {"model": "starter-generalist", "prompt": "x", "n": 16_384}),
        ("/v1/completions", {"model": "starter-generalist", "prompt": "x", "n": 5}),
    ):
        reply = call(house().app, path=path, body=body)
        assert (reply.status, reply.error["param"]) == (400, "n")


@pytest.mark.parametrize(
    "path",
    ["/invocations", "/pause", "/resume", "/update_weights", "/sleep", "/wake_up", "/collective_rpc",
     "/reset_prefix_cache", "/v1/load_lora_adapter",
     "/inference/v1/generate", "/server_info", "/pooling", "/classify", "/v1/messages"],
)  # fmt: skip
def test_what_engines_have_beside_is_not_passed_on(path: str) -> None:
    headers = [(b"authorization", b"Bearer " + KEY.encode())]
    for method in ("GET", "POST"):
        assert call(house().app, method, path, headers=headers).status == 404


def test_every_threat_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", THREATS.read_text(encoding="utf-8"))
    assert len(named) > 20
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{test}"


def test_every_row_of_the_table_of_incidents_has_a_test() -> None:
    table = THREATS.read_text(encoding="utf-8").split("## Incidents of others", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 9
    for row in rows:
        assert "`tests/" in row, row
