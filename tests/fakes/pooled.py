"""What vLLM answers where no text is made: embeddings, rerankings, scores, tokens. A token is a character."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from typing import Any

from tests.fakes.answers import Body

POOLED = ("/v1/embeddings", "/v1/rerank", "/v1/score", "/tokenize", "/detokenize")
DIMENSIONS = 4


def pooled(path: str, body: Body, max_model_len: int) -> dict[str, Any]:
    """The document that belongs to `path`."""
    match path:
        case "/v1/embeddings":
            return _embeddings(body)
        case "/v1/rerank":
            return _reranking(body)
        case "/v1/score":
            return _scores(body)
        case "/tokenize":
            text = body.get("prompt") or "".join(str(message["content"]) for message in body["messages"])
            said = {"count": len(text), "max_model_len": max_model_len, "tokens": [ord(sign) for sign in text]}
            return said | {"token_strs": list(text) if body.get("return_token_strs") else None}
        case _:
            return {"prompt": "".join(chr(token) for token in body["tokens"])}


def vector(text: object) -> list[float]:
    """The same one for the same text."""
    digest = hashlib.sha256(repr(text).encode()).digest()
    return [digest[place] / 256 for place in range(DIMENSIONS)]


def likeness(one: str, other: str) -> float:
    """The share of words of `one` that `other` has too."""
    words = one.lower().split()
    return sum(word in other.lower().split() for word in words) / max(1, len(words))


def _embeddings(body: Body) -> dict[str, Any]:
    said = body["input"]
    inputs = said if isinstance(said, list) and not isinstance(said[0], int) else [said]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector(one), body.get("encoding_format"))}
        for index, one in enumerate(inputs)
    ]
    return {"id": "embd-x", "object": "list", "created": 1, "model": body["model"], "data": data} | _usage(inputs)


def _encoded(numbers: list[float], encoding: str | None) -> list[float] | str:
    if encoding != "base64":
        return numbers
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def _reranking(body: Body) -> dict[str, Any]:
    scored = [
        {"index": index, "document": {"text": text}, "relevance_score": likeness(body["query"], text)}
        for index, text in enumerate(body["documents"])
    ]
    best = sorted(scored, key=lambda result: -float(str(result["relevance_score"])))
    shown = best[: body.get("top_n") or len(best)]
    return {"id": "score-x", "model": body["model"], "results": shown} | _usage([body["query"], *body["documents"]])


def _scores(body: Body) -> dict[str, Any]:
    ones, others = (_listed(body[name]) for name in ("text_1", "text_2"))
    ones = ones * len(others) if len(ones) == 1 else ones
    data = [
        {"index": index, "object": "score", "score": likeness(*pair)}
        for index, pair in enumerate(zip(ones, others, strict=True))
    ]
    return {"id": "score-x", "object": "list", "created": 1, "model": body["model"], "data": data} | _usage(others)


def _listed(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else said


def _usage(inputs: Sequence[object]) -> dict[str, Any]:
    tokens = sum(len(str(one)) for one in inputs)
    return {"usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}}
