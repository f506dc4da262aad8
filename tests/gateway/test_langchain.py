"""LangChain's `ChatOpenAI` and `OpenAIEmbeddings`, as they come, with our address and key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.fakes.pooled import vector
from tests.gateway.door import KEY
from tests.gateway.pool import Pool, pool

HARD = "Mia has 12 boxes with 7 pens each and then gives away 5. How many are left?"
ANSWER = "There are 79 pens left."
TRADE = "Sell 5 of them."


class Sell(BaseModel):
    """Sell pens."""

    pens: int


class Stock(BaseModel):
    """What is left."""

    left: int
    unit: str


def with_clients(test: Callable[[Pool, dict[str, Any]], Awaitable[None]]) -> None:
    """`test` gets what every client of LangChain's needs; its sockets are closed here, which LangChain leaves open."""

    async def main() -> None:
        async with pool() as built, openai.DefaultAsyncHttpxClient() as quick:
            with openai.DefaultHttpxClient() as slow:
                url = str(built.client.base_url)
                common = {"base_url": url, "api_key": KEY, "max_retries": 0, "timeout": 10}
                await test(built, {**common, "http_async_client": quick, "http_client": slow})

    asyncio.run(main())


def with_chat(test: Callable[[Pool, ChatOpenAI], Awaitable[None]], model: str = "auto", **how: Any) -> None:
    async def main(built: Pool, common: dict[str, Any]) -> None:
        await test(built, ChatOpenAI(model=model, **common, **how))

    with_clients(main)


@pytest.mark.parametrize("responses", [False, True])
def test_invoke_and_stream_of_the_coordinator(responses: bool) -> None:
    async def test(_: Pool, chat: ChatOpenAI) -> None:
        answer = await chat.ainvoke(HARD)
        assert answer.text == ANSWER
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] > 6
        waited = await asyncio.to_thread(chat.invoke, HARD)
        assert waited.text == ANSWER
        chunks = [chunk async for chunk in chat.astream(HARD)]
        assert "".join(chunk.text for chunk in chunks) == ANSWER
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole = whole + chunk
        assert isinstance(whole, AIMessageChunk)
        assert whole.usage_metadata == answer.usage_metadata

    with_chat(test, use_responses_api=responses, stream_usage=True)


@pytest.mark.parametrize("responses", [False, True])
def test_tools_are_bound_called_and_answered(responses: bool) -> None:
    async def test(built: Pool, chat: ChatOpenAI) -> None:
        seller = chat.bind_tools([Sell])
        called = await seller.ainvoke(TRADE)
        assert isinstance(called, AIMessage)
        (wanted,) = called.tool_calls
        assert (wanted["name"], wanted["args"]) == ("Sell", {"pens": 5})
        told = ToolMessage("sold", tool_call_id=wanted["id"])
        done = await seller.ainvoke([HumanMessage(TRADE), called, told])
        assert done.text == ANSWER
        assert [message["role"] for message in built.bodies("generalist")[-1]["messages"]] == [
            "user",
            "assistant",
            "tool",
        ]
        streamed = [chunk async for chunk in seller.astream(TRADE)]
        pieces = [piece for chunk in streamed for piece in getattr(chunk, "tool_call_chunks", ())]
        assert "".join(piece["args"] or "" for piece in pieces) == '{"pens": 5}'

    with_chat(test, model="generalist", use_responses_api=responses)


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
@pytest.mark.parametrize("responses", [False, True])
def test_structured_output(method: Any, responses: bool) -> None:
    async def test(_: Pool, chat: ChatOpenAI) -> None:
        parsed = await chat.with_structured_output(Stock, method=method).ainvoke(f"{HARD} Answer in JSON.")
        assert parsed == Stock(left=79, unit="pens")

    with_chat(test, use_responses_api=responses)


def test_logprobs_and_several_answers() -> None:
    async def test(_: Pool, chat: ChatOpenAI) -> None:
        answer = await chat.bind(logprobs=True).ainvoke(HARD)
        tokens = [token["token"] for token in answer.response_metadata["logprobs"]["content"]]
        assert "".join(tokens) == ANSWER
        made = await chat.agenerate([[HumanMessage(HARD)]])
        assert [one.text for one in made.generations[0]] == [ANSWER, ANSWER]

    with_chat(test, model="generalist", n=2)


def test_embeddings() -> None:
    async def test(_: Pool, common: dict[str, Any]) -> None:
        embedder = OpenAIEmbeddings(model="embedder", check_embedding_ctx_length=False, **common)
        assert await embedder.aembed_documents(["a", "b"]) == [pytest.approx(vector(text)) for text in ("a", "b")]
        assert await asyncio.to_thread(embedder.embed_query, "a") == pytest.approx(vector("a"))

    with_clients(test)
