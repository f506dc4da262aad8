"""HttpEngineClient against the fake vLLM server, with every fault it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from appliance.domain.endpoint import Endpoint, EngineTask
from appliance.domain.model import Role
from appliance.domain.request import CallChunk, CallContext, EngineCall, Usage
from appliance.engines.client import PROBE_PRIORITY, HttpEngineClient
from appliance.errors import BudgetExhausted, ContextTooLong, EngineRejected, EngineUnavailable
from tests.fakes.fake_vllm import Answer, FakeVllm, Fault, FaultKind
from tests.fakes.polling import until
from tests.fakes.sleep_mode import SleepMode


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


def context(deadline_in_s: float = 10.0, **fields: Any) -> CallContext:
    base = CallContext(
        request_id="req-1",
        trace_id="tr-1",
        task_id="s1",
        role=Role.EXECUTOR,
        tenant="t",
        priority=0,
        deadline_s=asyncio.get_running_loop().time() + deadline_in_s,
        remaining_tokens=1000,
        cache_salt="",
    )
    return replace(base, **fields)


def call(prompt: str = "hello there", max_tokens: int | None = 32, **params: Any) -> EngineCall:
    return EngineCall("fake", ({"role": "user", "content": prompt},), max_tokens, params)


async def collect(fake: FakeVllm, wanted: EngineCall | None = None, ctx: CallContext | None = None) -> list[CallChunk]:
    client = HttpEngineClient()
    try:
        async with aclosing(client.stream_chat(fake.status(), wanted or call(), ctx or context())) as chunks:
            return [chunk async for chunk in chunks]
    finally:
        await client.close()


def test_text_finish_and_usage() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            chunks = await collect(fake)
            assert "".join(c.text for c in chunks) == "hello there"
            assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
            assert chunks[-1].usage == Usage(prompt_tokens=3, completion_tokens=2)
            assert {c.engine_id for c in chunks} == {"fake-0"}
            assert all(c.raw_delta is None for c in chunks)

    run(main())


def test_body_and_headers() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            choice = {"choice": ["a", "b"]}
            ctx = context(priority=5, cache_salt="salt")
            await collect(fake, call(structured_outputs=choice, temperature=0.5, stream=False), ctx)
            await collect(fake, call(max_tokens=None))
            full, bare = fake.bodies()
            assert full["structured_outputs"] == choice
            assert (full["priority"], full["cache_salt"], full["temperature"]) == (5, "salt", 0.5)
            assert (full["stream"], full["model"], full["max_tokens"]) == (True, "fake", 32)
            assert not {"priority", "cache_salt", "max_tokens"} & bare.keys()
            assert fake.requests[0].headers["x-request-id"].startswith("req-1-s1-executor-")

    run(main())


def test_logprobs() -> None:
    async def main() -> None:
        answer = Answer("so pass", logprobs={"pass": -0.2}, alternatives={"pass": {" fail": -1.7}})
        async with FakeVllm(script={"*": answer}) as fake:
            chunks = await collect(fake, call(logprobs=True, top_logprobs=2))
            [_, last] = [token for chunk in chunks for token in chunk.logprobs]
            assert (last.token, last.logprob) == (" pass", -0.2)
            assert last.alternatives == {" pass": -0.2, " fail": -1.7}
            assert all(c.raw_logprobs for c in chunks if c.logprobs)

    run(main())


def test_a_delta_with_more_than_text_is_kept() -> None:
    async def main() -> None:
        tools = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}], "reasoning": "hm"}
        async with FakeVllm(script={"*": Answer("x", delta=tools)}) as fake:
            chunk = (await collect(fake))[0]
            assert chunk.raw_delta is not None
            assert chunk.raw_delta["tool_calls"] == tools["tool_calls"]
            assert chunk.reasoning == "hm"

    run(main())


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(FaultKind.HTTP, status=500), EngineRejected, "status 500"),
        (Fault(FaultKind.HTTP, status=429), EngineRejected, "status 429"),
        (Fault(FaultKind.HTTP, status=503), EngineRejected, "status 503"),
        (Fault(FaultKind.RESET, after_tokens=0), EngineUnavailable, "can't be reached"),
        (Fault(FaultKind.RESET), EngineUnavailable, "can't be reached"),
        (Fault(FaultKind.TRUNCATED), EngineUnavailable, "in the middle"),
        (Fault(FaultKind.TRUNCATED, after_tokens=99), EngineUnavailable, "in the middle"),
        (Fault(FaultKind.ERROR_EVENT), EngineRejected, "in the middle of its answer"),
        (Fault(FaultKind.WRONG_JSON), EngineRejected, "no JSON"),
        (Fault(FaultKind.ABORT), EngineUnavailable, "broke off"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
def test_faults(fault: Fault, error: type[Exception], words: str) -> None:
    async def main() -> None:
        async with FakeVllm(faults=[replace(fault)]) as fake:
            with pytest.raises(error, match=words) as caught:
                await collect(fake)
            assert "hello" not in str(caught.value)

    run(main())


def test_the_detail_of_a_rejection_is_beside_the_message() -> None:
    async def main() -> None:
        async with FakeVllm(faults=[Fault(FaultKind.HTTP, status=400, message="bad prompt: secret")]) as fake:
            with pytest.raises(EngineRejected) as caught:
                await collect(fake)
            assert caught.value.status == 400
            assert caught.value.detail == "bad prompt: secret"
            assert "secret" not in str(caught.value)

    run(main())


def test_a_prompt_that_is_too_long() -> None:
    async def main() -> None:
        async with FakeVllm(max_model_len=10) as fake:
            with pytest.raises(ContextTooLong, match="context of fake, 10 tokens"):
                await collect(fake, call("x" * 400))

    run(main())


def test_empty_and_endless_answers_are_answers() -> None:
    async def main() -> None:
        async with FakeVllm(faults=[Fault(FaultKind.EMPTY, times=1), Fault(FaultKind.ENDLESS)]) as fake:
            empty = await collect(fake)
            assert ("".join(c.text for c in empty), empty[0].finish_reason) == ("", "stop")
            endless = await collect(fake, call(max_tokens=50))
            assert endless[-1].usage is not None
            assert endless[-1].usage.completion_tokens == 50
            assert [c.finish_reason for c in endless if c.finish_reason] == ["length"]

    run(main())


@pytest.mark.parametrize("after_tokens", [0, 1])
def test_the_deadline(after_tokens: int) -> None:
    async def main() -> None:
        async with FakeVllm(faults=[Fault(FaultKind.HANG, after_tokens=after_tokens)]) as fake:
            with pytest.raises(BudgetExhausted) as caught:
                await collect(fake, ctx=context(deadline_in_s=0.2))
            assert caught.value.limit == "wall_s"
            await until(lambda: fake.aborted)

    run(main())


def test_a_slow_consumer_is_not_cancelled_by_the_deadline() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            client = HttpEngineClient()
            async with aclosing(client.stream_chat(fake.status(), call(), context(deadline_in_s=0.2))) as chunks:
                assert (await anext(chunks)).text == "hello"
                await asyncio.sleep(0.25)
            await client.close()

    run(main())


@pytest.mark.parametrize("way", ["aclose", "cancel", "cancel before the first chunk"])
def test_a_consumer_that_leaves_aborts_the_call_within_100_ms(way: str) -> None:
    async def main() -> None:
        first = 0 if way.startswith("cancel before") else 1
        async with FakeVllm(faults=[Fault(FaultKind.HANG, after_tokens=first)]) as fake:
            client = HttpEngineClient()
            stream = client.stream_chat(fake.status(), call(), context())
            if way == "aclose":
                await anext(stream)
                started = asyncio.get_running_loop().time()
                await stream.aclose()
            else:
                got: list[CallChunk] = []

                async def consume() -> None:
                    async with aclosing(stream):
                        async for chunk in stream:
                            got.append(chunk)

                task = asyncio.create_task(consume())
                await until(lambda: len(got) == first and fake.running)
                started = asyncio.get_running_loop().time()
                task.cancel()
                await asyncio.wait([task])
            await until(lambda: fake.aborted)
            assert asyncio.get_running_loop().time() - started < 0.1
            await client.close()

    run(main())


def test_an_engine_that_is_not_there() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            engine = fake.status()
        client = HttpEngineClient()
        with pytest.raises(EngineUnavailable, match="fake-0 can't be reached"):
            await anext(client.stream_chat(engine, call(), context()))
        assert not await client.healthy(engine)
        with pytest.raises(EngineUnavailable):
            await client.generate_one(engine, 1)
        await client.close()

    run(main())


def test_probe_and_health() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            client = HttpEngineClient()
            await client.generate_one(fake.status(), 1)
            assert fake.requests[0].body["max_tokens"] == 1
            assert await client.healthy(fake.status())
            fake.health_status = 503
            assert not await client.healthy(fake.status())
            fake.faults.append(Fault(FaultKind.HANG))
            with pytest.raises(EngineUnavailable, match=r"no token within 0\.1 s"):
                await client.generate_one(fake.status(), 0.1)
            with pytest.raises(EngineRejected, match="status 401"):
                await client.generate_one(replace(fake.status(), api_key="wrong"), 1)
            await client.close()

    run(main())


@pytest.mark.parametrize(
    ("task", "path"), [(EngineTask.EMBED, Endpoint.EMBEDDINGS), (EngineTask.RERANK, Endpoint.RERANK)]
)
def test_engines_are_probed_for_what_they_make(task: EngineTask, path: Endpoint) -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            client, engine = HttpEngineClient(), replace(fake.status(), task=task)
            await client.generate_one(engine, 1)
            assert [(request.path, request.body["priority"]) for request in fake.requests] == [(path, PROBE_PRIORITY)]
            fake.faults.append(Fault(FaultKind.HTTP, status=500))
            with pytest.raises(EngineRejected, match="status 500"):
                await client.generate_one(engine, 1)
            await client.close()

    run(main())


def test_an_answer_that_is_no_stream_is_one_chunk() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            wanted = EngineCall("fake", (), None, {}, Endpoint.EMBEDDINGS, {"input": ["a", "bc"]})
            (chunk,) = await collect(fake, wanted, context(cache_salt="salt"))
            assert chunk.usage == Usage(3, 0)
            assert chunk.raw_event is not None
            assert len(chunk.raw_event["data"]) == 2
            assert fake.requests[0].body["cache_salt"] == "salt"
            (told,) = await collect(fake, replace(wanted, endpoint=Endpoint.DETOKENIZE, inputs={"tokens": [97]}))
            assert (told.raw_event, told.usage) == ({"prompt": "a"}, Usage())

    run(main())


def test_a_text_completion_is_streamed_as_it_comes() -> None:
    async def main() -> None:
        async with FakeVllm(script={"*": "one two"}) as fake:
            wanted = EngineCall("fake", (), 9, {"n": 2}, Endpoint.COMPLETIONS, {"prompt": "go on"})
            chunks = await collect(fake, wanted)
            for index in (0, 1):
                assert "".join(c.text for c in chunks if c.index == index) == "one two"
            assert all(c.raw_event is not None for c in chunks if c.usage is None)
            assert chunks[-1].usage is not None
            assert "messages" not in fake.requests[0].body

    run(main())


@pytest.mark.parametrize("level", [1, 2])
def test_sleep_waits_for_calls_in_flight_and_waking_brings_the_weights_back(level: int) -> None:
    async def main() -> None:
        async with FakeVllm(first_token_s=0.3) as fake:
            client = HttpEngineClient()
            talking = asyncio.create_task(collect(fake))
            await until(lambda: fake.running)
            assert not await client.is_sleeping(fake.status())
            await client.sleep(fake.status(), level, 5, 5)
            assert await client.is_sleeping(fake.status())
            assert [c.finish_reason for c in await talking if c.finish_reason] == ["stop"]
            assert await client.healthy(fake.status())
            with pytest.raises(EngineRejected, match="status 503"):
                await client.generate_one(fake.status(), 1)
            await client.wake_up(fake.status(), level, 5)
            await client.generate_one(fake.status(), 1)
            whole = ["/wake_up"]
            again = ["/wake_up?tags=weights", "/collective_rpc", "/wake_up?tags=kv_cache"]
            slept = ["/pause?mode=wait", f"/sleep?level={level}&mode=abort"]
            assert fake.sleep_mode.calls == slept + (whole if level == 1 else again)
            await client.close()

    run(main())


def test_sleep_does_not_wait_for_ever() -> None:
    async def main() -> None:
        async with FakeVllm(faults=[Fault(FaultKind.HANG)]) as fake:
            client = HttpEngineClient()
            talking = asyncio.create_task(collect(fake))
            await until(lambda: fake.running)
            await client.sleep(fake.status(), 1, 0.1, 5)
            assert await client.is_sleeping(fake.status())
            talking.cancel()
            await asyncio.wait([talking])
            await client.close()

    run(main())


def test_an_engine_that_can_not_sleep_says_so() -> None:
    async def main() -> None:
        async with FakeVllm(sleep_mode=SleepMode(enabled=False)) as fake:
            client = HttpEngineClient()
            with pytest.raises(EngineRejected, match="status 404"):
                await client.sleep(fake.status(), 1, 5, 5)
            with pytest.raises(EngineRejected, match="status 404"):
                await client.is_sleeping(fake.status())
            await fake.stop()
            with pytest.raises(EngineUnavailable, match="can't be reached"):
                await client.wake_up(fake.status(), 1, 5)
            await client.close()

    run(main())


def test_progress_changes_with_each_token() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            client = HttpEngineClient()
            before = await client.progress(fake.status())
            assert before is not None
            assert await client.progress(fake.status()) == before
            await client.generate_one(fake.status(), 1)
            assert await client.progress(fake.status()) != before
            await fake.stop()
            assert await client.progress(fake.status()) is None
            await client.close()

    run(main())


def test_connections_are_used_again() -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            client = HttpEngineClient()
            for _ in range(3):
                async with aclosing(client.stream_chat(fake.status(), call(), context())) as chunks:
                    assert [c async for c in chunks]
            assert client._session is not None
            assert client._session.connector is not None
            assert len(client._session.connector._conns) == 1
            assert fake.aborted == []
            await client.close()

    run(main())
