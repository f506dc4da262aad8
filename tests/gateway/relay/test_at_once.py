"""Whole answers that the server writes in one go say the same as others."""

from __future__ import annotations

import asyncio

import pytest

from appliance.gateway.relay import relay
from appliance.gateway.relay.at_once import EXTENSION, AtOnce, at_once, head_of
from tests.gateway.relay.house import ask, house, replicas


def test_a_head_is_the_engines_type_the_length_and_ours() -> None:
    head = head_of(b"application/json; charset=utf-8", 12, "req-1", "ab", [(b"x-ratelimit-limit-tokens", b"9")])
    assert head == (
        b"content-type: application/json; charset=utf-8\r\ncontent-length: 12\r\n"
        b"x-request-id: req-1\r\nx-trace-id: ab\r\nx-ratelimit-limit-tokens: 9\r\n"
    )


@pytest.mark.parametrize("kind", [b"a\r\nset-cookie: b", b"a\n", b"a\x00", b"a\x7f"])
def test_nothing_of_an_engine_ends_a_header(kind: bytes) -> None:
    assert head_of(kind, 1, "req-1", "ab", []) is None


def test_where_the_server_does_not_offer_it_answers_go_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = []

    async def main() -> None:
        async with replicas(1) as fakes, house(*fakes) as doors:
            once = await doors.fast.post(ask("Which pen?"), headers={"x-request-id": "mine"})
            monkeypatch.setattr(relay, "at_once", lambda scope: offered.append(at_once(scope)))
            usual = await doors.fast.post(ask("Which pen?"), headers={"x-request-id": "mine"})
            assert (once.status, once.json()["choices"]) == (usual.status, usual.json()["choices"])
            kept = [{**reply.headers, "date": "", "x-trace-id": ""} for reply in (once, usual)]
            assert kept[0] == kept[1]
            await doors.fast.settled()

    asyncio.run(main())
    assert len(offered) == 1
    assert callable(offered[0])


def test_an_offer_is_found_by_its_name() -> None:
    assert at_once({"type": "http"}) is None
    assert at_once({"type": "http", "extensions": {"tls": {}}}) is None
    offer: AtOnce = lambda _head, _body: True  # noqa: E731 (as short as that)
    assert at_once({"type": "http", "extensions": {EXTENSION: offer}}) is offer
