"""Keys: asked for everywhere but at one path, compared as digests, read from a private file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from appliance.domain.tenant import ALL_SCOPES, Tenant
from appliance.errors import ConfigError, NotAuthenticated
from appliance.gateway.auth import KeyRing, OpenDoor, Presented, read_or_make_keys
from tests.gateway.door import KEY, call, chat, house

BEARER = b"Bearer " + KEY.encode()

REFUSED: list[list[tuple[bytes, bytes]]] = [
    [],
    [(b"authorization", b"")],
    [(b"authorization", b"Bearer")],
    [(b"authorization", b"Bearer ")],
    [(b"authorization", b"Basic " + KEY.encode())],
    [(b"authorization", KEY.encode())],
    [(b"authorization", BEARER + b"x")],
    [(b"authorization", BEARER[:-1])],
    [(b"authorization", b"Bearer \xff\xfe")],
    [(b"authorization", BEARER), (b"authorization", BEARER)],
    [(b"api-key", KEY.encode())],
    [(b"host", b"127.0.0.1"), (b"x-forwarded-host", b"localhost"), (b"x-original-url", b"/health")],
]


@pytest.mark.parametrize("headers", REFUSED)
def test_refused(headers: list[tuple[bytes, bytes]]) -> None:
    reply = call(house().app, body=chat(), headers=headers)
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert KEY not in reply.body.decode()


@pytest.mark.parametrize("value", [BEARER, b"bearer " + KEY.encode(), b"BEARER   " + KEY.encode() + b" "])
def test_taken(value: bytes) -> None:
    assert call(house().app, "GET", "/v1/models", headers=[(b"authorization", value)]).status == 200


@pytest.mark.parametrize(
    "path",
    ["/ready", "/metrics", "/fleet",
     "/v1/models", "/v1/traces", "/openapi.json", "/health/", "//health", "/ready/../metrics",
     "/HEALTH", "/nothing"],
)  # fmt: skip
def test_everything_but_one_path_is_closed(path: str) -> None:
    assert call(house().app, "GET", path, headers=[]).status == 401


def test_the_open_path_needs_no_key() -> None:
    assert call(house().app, "GET", "/health", headers=[]).status == 200


def test_what_is_kept_of_a_key_does_not_authenticate() -> None:
    ring = KeyRing([KEY], Tenant("default"))
    for kept in ring._digests:
        for given in (kept, kept.hex().encode()):
            with pytest.raises(NotAuthenticated):
                ring.known(Presented(given))


def test_keys_of_the_file_and_the_open_door_have_all_scopes() -> None:
    for authenticator in (KeyRing([KEY], Tenant("default")), OpenDoor(Tenant("default"))):
        tenant = authenticator.known(Presented(KEY.encode()))
        assert (tenant.name, tenant.scopes) == ("default", ALL_SCOPES)


def test_key_file_is_made_private_with_one_random_key(tmp_path: Path) -> None:
    file = tmp_path / "below" / "api-key"
    (key,) = read_or_make_keys(file)
    assert key.startswith("sk-")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_or_make_keys(file) == [key]


def test_draft_of_a_killed_run_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "api-key.draft").touch()
    (key,) = read_or_make_keys(tmp_path / "api-key")
    assert key.startswith("sk-")
    assert [file.name for file in tmp_path.iterdir()] == ["api-key"]


def test_key_file_may_hold_comments_and_several_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# team a\nsk-aaaaaaaaaaaaaaaa\n\n  sk-bbbbbbbbbbbbbbbb  \n")
    assert read_or_make_keys(file) == ["sk-aaaaaaaaaaaaaaaa", "sk-bbbbbbbbbbbbbbbb"]


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "short\n", "sk-with blank in the middle\n", "sk-ümlaut-aaaaaaaaaa\n"]
)
def test_unusable_key_file_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(ConfigError, match="api_key_file"):
        read_or_make_keys(file)


def test_key_file_that_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="api_key_file"):
        read_or_make_keys(tmp_path)
