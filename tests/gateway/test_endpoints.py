"""Completions, embeddings, reranking, scores and tokens, by the stock client over real sockets to fake engines."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import openai
import pytest

from appliance.domain.policy import DataPolicy
from appliance.domain.use_rule import UseRule
from tests.fakes.answers import Fault, FaultKind
from tests.fakes.pooled import likeness, vector
from tests.gateway.pool import TEAM, Pool, pool

PROMPT = "How many pens are left?"
ANSWER = "There are 79 pens left."


def with_pool(test: Callable[[Pool], Awaitable[None]], **how: Any) -> None:
    async def main() -> None:
        async with pool(**how) as built:
            await test(built)

    asyncio.run(main())


async def posted(built: Pool, path: str, body: dict[str, Any]) -> Any:
    """What stock clients have no method for."""
    url = str(built.client.base_url).removesuffix("/v1/") + path
    return await built.client.post(url, body=body, cast_to=object)


async def heard(answer: Any) -> None:
    """To its end, where it is a stream."""
    if isinstance(answer, openai.AsyncStream):
        async for _ in answer:
            pass


def test_a_text_completion_whole_and_streamed() -> None:
    async def test(built: Pool) -> None:
        asked: dict[str, Any] = {"model": "generalist", "prompt": PROMPT, "max_tokens": 50, "temperature": 0}
        whole = await built.client.completions.create(**asked, logprobs=1, echo=True)
        assert whole.object == "text_completion"
        assert whole.choices[0].text == PROMPT + ANSWER
        assert whole.choices[0].finish_reason == "stop"
        assert whole.choices[0].logprobs is not None
        assert whole.choices[0].logprobs.tokens is not None
        assert "".join(whole.choices[0].logprobs.tokens) == ANSWER
        assert len(whole.choices[0].logprobs.token_logprobs or ()) == len(whole.choices[0].logprobs.tokens)
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 6
        stream = await built.client.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}, suffix="!"
        )
        events = [event async for event in stream]
        assert "".join(choice.text for event in events for choice in event.choices) == ANSWER
        assert events[-1].usage == whole.usage.model_copy(update={"total_tokens": events[-1].usage.total_tokens})
        first, second = built.bodies("generalist")
        assert {"logprobs": 1, "echo": True, "prompt": PROMPT, "max_tokens": 50}.items() <= first.items()
        assert second["suffix"] == "!"
        assert "stream" not in first, "vLLM has the logprobs of an echoed prompt in whole answers only"
        assert second["stream"]
        assert all("messages" not in body and body["cache_salt"] for body in (first, second))
        assert [request.path for request in built.servers["generalist"].requests] == ["/v1/completions"] * 2
        calls = [call for trace in built.traces.saved for call in trace.calls]
        assert [call.answer for call in calls] == [None, None], (
            "contents are kept only where the tenant's policy says so"
        )
        assert all(
            trace.decision.strategy == "passthrough" and trace.usage.total_tokens for trace in built.traces.saved
        )

    with_pool(test)


def test_several_texts_at_once_and_the_default_length() -> None:
    async def test(built: Pool) -> None:
        whole = await built.client.completions.create(model="generalist", prompt=PROMPT, n=3)
        assert [choice.index for choice in whole.choices] == [0, 1, 2]
        assert {choice.text for choice in whole.choices} == {ANSWER}
        (body,) = built.bodies("generalist")
        assert (body["n"], body["max_tokens"]) == (3, 16)

    with_pool(test)


def test_embeddings_as_numbers_and_as_bytes() -> None:
    async def test(built: Pool) -> None:
        # The client asks for base64 by itself, and turns it into numbers.
        made = await built.client.embeddings.create(model="embedder", input=["one", "two"])
        assert [vectors.index for vectors in made.data] == [0, 1]
        assert made.data[0].embedding == pytest.approx(vector("one"))
        assert made.usage.total_tokens == 6
        plain = await built.client.embeddings.create(model="embedder", input=[1, 2, 3], encoding_format="float")
        assert plain.data[0].embedding == vector([1, 2, 3])
        assert [body.get("encoding_format") for body in built.bodies("embedder")] == ["base64", "float"]
        assert all(body["cache_salt"] and "stream" not in body for body in built.bodies("embedder"))
        (first, _) = built.traces.saved
        assert first.usage.prompt_tokens == 6
        assert first.calls[0].gpu_s > 0

    with_pool(test)


def test_documents_are_ranked_and_pairs_scored() -> None:
    async def test(built: Pool) -> None:
        documents = ["blue sky", "red sky at night", "grass"]
        ranked = await posted(
            built, "/v1/rerank", {"model": "reranker", "query": "red sky", "documents": documents, "top_n": 2}
        )
        assert [result["index"] for result in ranked["results"]] == [1, 0]
        assert ranked["results"][0]["relevance_score"] == 1
        assert ranked["usage"]["prompt_tokens"] > 0
        assert ranked["id"].startswith("rerank-")
        for model in ("reranker", "embedder"):
            scores = await posted(
                built, "/v1/score", {"model": model, "text_1": "red sky", "text_2": ["red", "red sky"]}
            )
            assert [one["score"] for one in scores["data"]] == [likeness("red sky", "red"), 1]

    with_pool(test)


def test_tokens_and_back_use_nothing() -> None:
    async def test(built: Pool) -> None:
        there = await posted(built, "/tokenize", {"model": "generalist", "prompt": "abc", "return_token_strs": True})
        assert there == {"count": 3, "max_model_len": 4096, "tokens": [97, 98, 99], "token_strs": ["a", "b", "c"]}
        chat = {"model": "generalist", "messages": [{"role": "user", "content": "ab"}]}
        assert (await posted(built, "/tokenize", chat))["count"] == 2
        assert await posted(built, "/detokenize", {"model": "generalist", "tokens": [97]}) == {"prompt": "a"}
        assert not any("cache_salt" in body or "priority" in body for body in built.bodies("generalist"))
        assert [trace.usage.total_tokens for trace in built.traces.saved] == [0, 0, 0]

    with_pool(test)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {"model": "generalist", "input": "x"}, "embedder can"),
        ("/v1/rerank", {"model": "embedder-2", "query": "x", "documents": ["y"]}, "no model"),
        ("/v1/completions", {"model": "embedder", "prompt": "x"}, "embed and have no /v1/completions"),
        ("/v1/chat/completions", {"model": "reranker", "messages": [{"role": "user", "content": "x"}]}, "rerank"),
        ("/v1/completions", {"model": "auto", "prompt": "x"}, "answers chats only"),
        ("/tokenize", {"model": "auto", "prompt": "x"}, "answers chats only"),
    ],
)
def test_who_can_not_do_it_says_who_can(path: str, body: dict[str, Any], words: str) -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.APIStatusError, match=words) as raised:
            await posted(built, path, body)
        assert raised.value.status_code == (404 if body["model"] == "embedder-2" else 400)
        assert raised.value.param == "model"
        assert not any(server.requests for server in built.servers.values()), "no engine heard of it"

    with_pool(test)


def test_labels_hold_for_every_endpoint() -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.PermissionDeniedError):
            await built.client.embeddings.create(model="embedder", input="x", extra_body={"labels": ["secret"]})
        assert not built.servers["embedder"].requests

    with_pool(test, policy=DataPolicy({"secret": UseRule(models=frozenset({"generalist"}))}))


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_fails_is_an_error_of_the_same_shape(stream: bool) -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.APIError, match="500"):
            await heard(await built.client.completions.create(model="generalist", prompt="x", stream=stream))
        with pytest.raises(openai.InternalServerError) as raised:
            await built.client.embeddings.create(model="embedder", input="x")
        assert raised.value.code == "engine_error"

    fault = Fault(FaultKind.ERROR_EVENT, after_tokens=1)
    with_pool(test, faults={"generalist": [fault], "embedder": [Fault(FaultKind.HTTP, status=500)]})


def test_a_caller_who_leaves_ends_the_call_in_the_engine() -> None:
    async def test(built: Pool) -> None:
        stream = await built.client.completions.create(model="generalist", prompt="x", stream=True)
        async for _ in stream:
            break
        await stream.close()
        engine = built.servers["generalist"]
        async with asyncio.timeout(5):
            while not engine.aborted:  # noqa: ASYNC110 - another loop's task
                await asyncio.sleep(0.01)

    with_pool(test, latency_s=0.5)


def test_several_answers_of_a_chat_whole_and_streamed_named_and_virtual() -> None:
    async def test(built: Pool) -> None:
        for model in ("generalist", "auto"):
            asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "n": 2}
            whole = await built.client.chat.completions.create(**asked)
            assert [choice.message.content for choice in whole.choices] == [ANSWER, ANSWER]
            assert [choice.finish_reason for choice in whole.choices] == ["stop", "stop"]
            assert whole.usage is not None
            assert whole.usage.completion_tokens == 12
            said = {0: "", 1: ""}
            ended = {}
            async for event in await built.client.chat.completions.create(**asked, stream=True):
                for choice in event.choices:
                    said[choice.index] += choice.delta.content or ""
                    ended[choice.index] = choice.finish_reason
            assert said == {0: ANSWER, 1: ANSWER}
            assert ended == {0: "stop", 1: "stop"}
        assert all(body["n"] == 2 for body in built.bodies("generalist"))
        assert len(built.bodies(*built.servers)) == 4, "one call each"

    with_pool(test)


PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(30)).decode()


def showing(url: str) -> list[Any]:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    return [{"role": "user", "content": parts}]


def test_images_go_to_models_that_read_them_and_to_no_other() -> None:
    async def test(built: Pool) -> None:
        for model in ("generalist", "auto"):
            answer = await built.client.chat.completions.create(model=model, messages=showing(PNG))
            assert answer.choices[0].message.content == ANSWER
        for body in built.bodies("generalist"):
            kinds = [part["type"] for part in body["messages"][0]["content"]]
            assert kinds == ["text", "image_url"]
            assert body["messages"][0]["content"][1]["image_url"]["url"] == PNG
        with pytest.raises(openai.BadRequestError, match="writer reads no images; name a model that does: generalist"):
            await built.client.chat.completions.create(model="writer", messages=showing(PNG))

    with_pool(test)


def test_images_with_auto_where_no_generalist_reads_them() -> None:
    async def test(built: Pool) -> None:
        with pytest.raises(openai.BadRequestError, match="auto reads no images; no model of the pool does"):
            await built.client.chat.completions.create(model="auto", messages=showing(PNG))

    with_pool(test, options=replace(TEAM, image_readers=frozenset()))
