"""Claims of engine ports: two appliances that start at the same moment must not choose the same ones."""

import socket
from contextlib import closing

import pytest

from appliance.engines.ports import LAST_PORT, claim_ports
from appliance.errors import EngineStartError

FIRST = 33_100


def test_two_claims_never_share_a_port_although_nothing_listens_yet() -> None:
    with closing(claim_ports(FIRST, 3)) as one, closing(claim_ports(FIRST, 3)) as other:
        assert not set(one.ports) & set(other.ports)


def test_a_closed_claim_is_free_again() -> None:
    with closing(claim_ports(FIRST + 50, 1)) as one:
        first = one.ports
    with closing(claim_ports(FIRST + 50, 1)) as again:
        assert again.ports == first


def test_a_port_with_a_listener_is_passed_over() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with closing(claim_ports(taken, 1)) as claim:
            assert claim.ports != (taken,)


def test_too_few_ports_are_refused_with_the_way_out_and_nothing_stays_claimed() -> None:
    with pytest.raises(EngineStartError, match=r"engines\.first_port"):
        claim_ports(LAST_PORT - 1, 5)
    with closing(claim_ports(LAST_PORT - 1, 1)):
        pass
