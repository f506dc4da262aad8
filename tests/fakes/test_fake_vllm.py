"""The fake itself: others build on it, so it has to be right."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.fakes.fake_vllm import Answer, FakeVllm, Fault, FaultKind
from tests.fakes.polling import until


async def post(fake: FakeVllm, prompt: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": fake.model, "messages": [{"role": "user", "content": prompt}]} | fields
    headers = {"Authorization": f"Bearer {fake.api_key}"}
    url = f"{fake.base_url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
        return response.status, json.loads(await response.text())


def test_answers_by_exact_key_then_part_then_star() -> None:
    async def main() -> None:
        async with FakeVllm(script={"2+2": ["4", "5"], "long 2+2": "no", "*": "?"}) as fake:
            texts = [(await post(fake, p))[1]["choices"][0]["message"]["content"] for p in ("2+2", "x 2+2", "y")]
            assert texts == ["4", "5", "?"]
            assert [r.body["messages"][0]["content"] for r in fake.requests] == ["2+2", "x 2+2", "y"]

    asyncio.run(main())


def test_logprobs_and_max_tokens() -> None:
    async def main() -> None:
        answer = Answer("it is pass", logprobs={"pass": -0.1}, alternatives={"pass": {" fail": -2.5}})
        async with FakeVllm(script={"*": answer}) as fake:
            _, whole = await post(fake, "q", logprobs=True, top_logprobs=2)
            last = whole["choices"][0]["logprobs"]["content"][-1]
            assert [(t["token"], t["logprob"]) for t in last["top_logprobs"]] == [(" pass", -0.1), (" fail", -2.5)]
            _, short = await post(fake, "q", max_tokens=1)
            assert short["choices"][0]["finish_reason"] == "length"
            assert short["usage"]["completion_tokens"] == 1

    asyncio.run(main())


@pytest.mark.parametrize(("fields", "status"), [({"model": "other"}, 404), ({"stream": False}, 200)])
def test_unknown_model(fields: dict[str, Any], status: int) -> None:
    async def main() -> None:
        async with FakeVllm() as fake:
            assert (await post(fake, "q", **fields))[0] == status

    asyncio.run(main())


def test_a_fault_counts_down_and_a_client_that_leaves_is_seen() -> None:
    async def main() -> None:
        async with FakeVllm(faults=[Fault(FaultKind.HTTP, status=503, times=1)]) as fake:
            assert (await post(fake, "q"))[0] == 503
            assert (await post(fake, "q"))[0] == 200
            fake.faults.append(Fault(FaultKind.HANG))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(post(fake, "q"), 0.1)
            await until(lambda: fake.aborted)
            assert fake.running == 0

    asyncio.run(asyncio.wait_for(main(), 5))
