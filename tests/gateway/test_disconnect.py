"""A caller who goes away cancels the coordinator at once."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from appliance.domain.request import ContentDelta
from tests.fakes.fake_coordinator import Hang, Step
from tests.gateway.door import KEY, chat, house, served

LIMIT_S = 0.1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("before", [(), (ContentDelta("The "),)])
def test_disconnect_cancels(stream: bool, before: tuple[Step, ...]) -> None:
    target = house(*before, Hang())
    with served(target.app) as url:
        address = urlsplit(url)
        caller = socket.create_connection((address.hostname, address.port or 0))
        body = json.dumps(chat(stream=stream)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: "
        caller.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        assert target.coordinator.hanging.wait(5)
        caller.close()
        left_s = time.monotonic()
        assert target.coordinator.cancelled.wait(5)
        assert time.monotonic() - left_s < LIMIT_S
    count = target.metrics.registry.get_sample_value("appliance_requests_in_flight")
    assert count == 0
