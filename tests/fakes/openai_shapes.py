"""vLLM's response bodies, as its OpenAI server writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.fakes.answers import Answer, Body


def error_body(status: int, message: str, kind: str = "BadRequestError") -> web.Response:
    """vLLM's error body."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


def usage_of(body: Body, answer: Answer, completion_tokens: int = 0) -> dict[str, Any]:
    """Usage; a prompt token is four characters unless the answer says how many there are."""
    prompt = answer.prompt_tokens
    if prompt is None:
        texts = [str(m.get("content") or "") for m in body.get("messages", ())] or [str(body.get("prompt", ""))]
        prompt = sum(len(text) for text in texts) // 4 + 1
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def logprobs_of(body: Body, answer: Answer, *tokens: str) -> dict[str, Any] | None:
    """The `logprobs` object of a choice, when the body asks for it."""
    if not body.get("logprobs"):
        return None
    content = []
    for token in tokens:
        own = answer.logprobs.get(token.strip(), -0.01)
        rivals = list(answer.alternatives.get(token.strip(), {}).items())
        top = sorted([(token, own), *rivals], key=lambda pair: -pair[1])[: body.get("top_logprobs") or 0]
        content.append(_entry(token, own) | {"top_logprobs": [_entry(*pair) for pair in top]})
    return {"content": content}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def chunk(
    name: str, model: str, delta: dict[str, Any] | None, finish: str | None, logprobs: Any, index: int = 0
) -> dict[str, Any]:
    """One event of a stream; `delta` None makes the chunk without choices that carries the usage."""
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return {
        "id": name,
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [] if delta is None else [choice],
    }


def text_chunk(event: dict[str, Any]) -> dict[str, Any]:
    """The same as an event of a text completion: logprobs as lists, one entry a token."""
    choices = []
    for choice in event["choices"]:
        entries = (choice["logprobs"] or {}).get("content", ())
        logprobs = entries and {
            "text_offset": [0 for _ in entries],
            "tokens": [entry["token"] for entry in entries],
            "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": [{entry["token"]: entry["logprob"]} for entry in entries],
        }
        text = choice["delta"].get("content", "")
        said = {"text": text, "logprobs": logprobs or None, "finish_reason": choice["finish_reason"]}
        choices.append({"index": choice["index"], **said, "stop_reason": None})
    return {**event, "object": "text_completion", "choices": choices}


def _tool_calls(answer: Answer) -> dict[str, Any]:
    """The calls that a stream would bring in pieces, whole."""
    calls: dict[int, dict[str, Any]] = {}
    for piece in (piece for delta in answer.deltas for piece in delta.get("tool_calls") or ()):
        function = piece["function"]
        call = calls.setdefault(piece["index"], {**piece, "function": {"name": "", "arguments": ""}})
        call.pop("index", None)
        for name, said in function.items():
            call["function"][name] += said
    return {"tool_calls": list(calls.values())} if calls else {}


def text_completion(document: dict[str, Any], echoed: str) -> dict[str, Any]:
    """The same as a whole text completion, after the prompt where that is echoed."""
    said = [{**choice, "delta": {"content": echoed + choice["text"]}} for choice in document["choices"]]
    return text_chunk({**document, "choices": said})


def completion(name: str, model: str, body: Body, answer: Answer, tokens: Sequence[str], finish: str) -> dict[str, Any]:
    """A whole answer."""
    message = {"role": "assistant", "content": "".join(tokens)} | dict(answer.delta) | _tool_calls(answer)
    choice = {
        "index": 0,
        "message": message,
        "text": "".join(tokens),
        "logprobs": logprobs_of(body, answer, *tokens),
        "finish_reason": finish,
    }
    return {
        "id": name,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [choice],
        "usage": usage_of(body, answer, len(tokens)),
    }
