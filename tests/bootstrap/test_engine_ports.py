"""Ports stay with their engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.bootstrap.engine_ports import EnginePorts
from appliance.engines.ports import LAST_PORT
from appliance.errors import EngineStartError
from tests.cli.pool import free_port


@pytest.fixture
def ports() -> Iterator[EnginePorts]:
    with closing(EnginePorts(min(free_port(), LAST_PORT - 100))) as ports:
        yield ports


def test_an_engine_keeps_its_port_and_new_ones_get_others(ports: EnginePorts) -> None:
    a, b = ports.of(("a", "b"))
    assert ports.of(("c", "b"), present=("a", "b"))[1] == b
    assert len({a, b, *ports.of(("c", "b", "d"), present=("a", "b"))}) == 4


def test_a_port_is_free_again_when_its_engine_is_gone(ports: EnginePorts) -> None:
    a, b = ports.of(("a", "b"))
    assert ports.of(("b", "c"), present=("b",)) == (b, a)


def test_two_appliances_never_share_a_port(ports: EnginePorts) -> None:
    [mine] = ports.of(("a",))
    with closing(EnginePorts(mine)) as others:
        assert mine not in others.of(("a", "b"))


def test_no_port_left_is_one_clear_error() -> None:
    with closing(EnginePorts(LAST_PORT)) as ports, pytest.raises(EngineStartError, match=r"engines\.first_port"):
        ports.of(("a", "b"))
