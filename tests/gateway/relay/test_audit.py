"""The fast path records what the ordinary route records, and holds its first byte back as well."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from appliance.domain.audit import Accepted, Finished
from tests.fakes.audit import MemoryAudit
from tests.fakes.fake_vllm import Fault, FaultKind
from tests.fakes.polling import until
from tests.gateway.relay.house import MODEL, ask, house, replicas


@dataclass(slots=True)
class Awaited(MemoryAudit):
    """Begins to write with the call, as the real one does, and may be awaited more than once."""

    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def accepted(self, event: Accepted) -> Awaitable[None]:  # type: ignore[override]  # a task in place of a coroutine
        self.tasks.append(asyncio.ensure_future(MemoryAudit.accepted(self, event)))
        return self.tasks[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_both_ways_record_the_same(stream: bool) -> None:
    async def main() -> None:
        audit = Awaited()
        async with replicas(1) as fakes, house(*fakes, audit=audit) as both:
            body = json.dumps(ask(stream=stream)).encode()
            for number, door in enumerate((both.fast, both.plain), 1):
                reply = await door.post(body)
                await until(lambda: len(audit.events) == 2 * number)  # noqa: B023 (asked within this turn only)
                accepted, finished = audit.events[-2:]
                assert isinstance(accepted, Accepted)
                assert isinstance(finished, Finished)
                assert (accepted.tenant, accepted.model, accepted.body) == ("acme", MODEL, body)
                assert accepted.path == "/v1/chat/completions"
                assert accepted.trace_id == finished.trace_id == reply.headers["x-trace-id"]
                assert accepted.request_id == finished.request_id == reply.headers["x-request-id"]
                assert (finished.outcome, finished.strategy) == ("ok", "passthrough")
                assert finished.answer_digest == hashlib.sha256(reply.body).hexdigest()
                assert finished.answer_bytes == len(reply.body)
            fast_end = audit.events[1]
            assert isinstance(fast_end, Finished)
            assert fast_end.call is not None
            assert fast_end.call.usage.completion_tokens > 0

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("faults", [[], [Fault(FaultKind.HTTP, status=400)]])
def test_where_nothing_can_be_recorded_nothing_leaves_but_a_503(stream: bool, faults: list[Fault]) -> None:
    async def main() -> None:
        audit = Awaited(failing=True)
        async with replicas(2) as fakes, house(*fakes, audit=audit) as both:
            for fake in fakes:
                fake.faults.extend(faults)
            for door in (both.fast, both.plain):
                reply = await door.post(ask(stream=stream))
                await door.settled()
                assert reply.status == 503
                assert json.loads(reply.body)["error"]["code"] == "audit_unavailable"
            assert sum(len(fake.requests) for fake in fakes) == 2, "no engine was asked again for it"

    asyncio.run(main())


def test_the_first_byte_waits_for_the_record_and_the_engine_does_not() -> None:
    async def main() -> None:
        audit = Awaited(slow=asyncio.Event())
        async with replicas(1) as fakes, house(*fakes, audit=audit) as both:
            answering = asyncio.create_task(both.fast.post(ask()))
            await until(lambda: bool(fakes[0].requests) and fakes[0].requests[0].ended_s is not None)
            assert not answering.done()
            assert audit.slow is not None
            audit.slow.set()
            assert (await answering).status == 200

    asyncio.run(main())
