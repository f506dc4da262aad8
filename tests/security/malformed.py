"""Bodies that are almost right: valid ones of every route, bent at random places by a seeded generator."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PNG = "data:image/png;base64,iVBORw0KGgoAAAAN"
_SCHEMA = {"type": "object", "properties": {"left": {"type": "integer"}}, "required": ["left"]}
_TOOL = {"type": "function", "function": {"name": "sell", "parameters": {"type": "object", "properties": {}}}}
_TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "sell", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "3"},
    {"role": "user", "content": "12*7"},
]  # fmt: skip

VALID: Mapping[str, tuple[dict[str, Any], ...]] = {
    "/v1/chat/completions": (
        {"model": "auto", "messages": [{"role": "user", "content": "12*7"}], "stream": True,
         "stream_options": {"include_usage": True}, "seed": 5, "stop": ["x"], "budget": {"calls": 3, "wall_s": 1.5}},
        {"model": "generalist", "messages": _TALK, "tools": [_TOOL], "tool_choice": "auto", "n": 2, "logprobs": True,
         "top_logprobs": 2, "temperature": 0.5, "max_tokens": 9, "labels": [], "documents": [{"text": "a"}]},
        {"model": "auto", "messages": [{"role": "user", "content": "{}"}], "logit_bias": {"5": 1},
         "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}},
         "chat_template_kwargs": {"a": {"b": [1]}}, "metadata": {"a": "b"}, "effort": "low"},
    ),
    "/v1/plan": ({"model": "auto", "messages": [{"role": "user", "content": "12*7"}], "max_tokens": 9},),
    "/v1/responses": (
        {"model": "generalist", "input": "12*7", "instructions": "Be brief.", "text": {"format": {"type": "text"}},
         "reasoning": {"effort": "low"}, "include": ["message.output_text.logprobs"], "top_logprobs": 1},
        {"model": "auto", "stream": True, "input": [
            {"role": "user", "content": [
                {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": PNG}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "3"}],
         "tools": [{"type": "function", "name": "f", "parameters": {}}],
         "tool_choice": {"type": "function", "name": "f"},
         "text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}}},
    ),
    "/v1/completions": (
        {"model": "generalist", "prompt": ["a", "b"], "max_tokens": 5, "n": 2, "echo": True, "logprobs": 1,
         "stream": True, "stream_options": {"include_usage": True}},
        {"model": "generalist", "prompt": [1, 2, 3], "suffix": "x", "structured_outputs": {"choice": ["a"]}},
    ),
    "/v1/embeddings": ({"model": "embedder", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 2},),
    "/v1/rerank": ({"model": "reranker", "query": "a", "documents": ["a", "b"], "top_n": 1},),
    "/v1/score": ({"model": "reranker", "text_1": "a", "text_2": ["a", "b"]},),
    "/tokenize": ({"model": "generalist", "messages": _TALK[:1], "add_special_tokens": True},),
    "/detokenize": ({"model": "generalist", "tokens": [97, 98]},),
    "/v1/traces/0123/replay": ({"strategy": "direct", "model_for": {"verifier": "math"}, "effort": "low"},),
}  # fmt: skip

_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64 - 1, 0.0, -0.5, 1e308, 1e-300, 3.0),
    *(
        "",
        " ",
        "\x00",
        "\ud83d",
        "\ud83d\ude00",
        "\u202e",
        "a" * 5_000,
        "null",
        "true",
        "-1",
        "1e999",
        "../../etc/passwd",
    ),
    *("http://169.254.169.254/", "file:///etc/passwd", "' OR 1=1 --", "{{7*7}}", "${jndi:ldap://x}", "<script>"),
    *([], {}, [[]], [None], [{}], {"": None}, {"a": {"a": {"a": []}}}, ["a"] * 300, [1] * 300, [[1]], [["a"]]),
    *({"$ref": "#"}, {"$ref": "http://x/y"}, {"type": "object", "allOf": [{"$ref": "#"}]}, {"pattern": "(a+)+$"}),
)
_RAW: tuple[bytes, ...] = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\\ud800", b"NaN", b"Infinity", b"-0", b"1e400", b"9" * 400, b"/*", b"'"),
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b"[" * 200, b'{"a":' * 200, b"\xc0\x80", b"\xed\xa0\x80"),
)


@dataclass(frozen=True, slots=True)
class Malformed:
    """One request: where it goes, and its bytes."""

    path: str
    body: bytes


def malformed(seed: int, count: int) -> Iterator[Malformed]:
    """So many requests; the same for the same seed."""
    chance = random.Random(seed)
    paths = tuple(VALID)
    for _ in range(count):
        path = chance.choice(paths)
        document = copy.deepcopy(chance.choice(VALID[path]))
        for _ in range(chance.randint(1, 3)):
            document = _bent(document, chance)
        body = json.dumps(document).encode()
        if chance.random() < 0.35:
            body = _broken(body, chance)
        yield Malformed(path, body)


def _bent(document: Any, chance: random.Random) -> Any:
    """One change somewhere in it."""
    places = list(_places(document))
    if not places or chance.random() < 0.01:
        return copy.deepcopy(chance.choice(_ODD))
    holder, key = chance.choice(places)
    chance.choice(_CHANGES)(holder, key, chance)
    return document


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


def _replace(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = copy.deepcopy(chance.choice(_ODD))


def _remove(holder: Any, key: Any, _chance: random.Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice((key.upper(), key + "s", "", "\x00", "__proto__", "cache_salt", "priority"))] = holder.pop(
            key
        )


def _wrap(holder: Any, key: Any, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 70))):
        holder[key] = [holder[key]] if chance.random() < 0.5 else {"a": holder[key]}


def _repeat(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, list):
        holder.extend([copy.deepcopy(holder[key])] * chance.choice((1, 20, 3_000 // max(1, len(holder)))))


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (_replace, _replace, _remove, _rename, _wrap, _repeat)


def _broken(body: bytes, chance: random.Random) -> bytes:
    """One change of the bytes."""
    place = chance.randrange(len(body) + 1)
    match chance.randrange(4):
        case 0:
            return body[:place]
        case 1:
            return body[:place] + chance.choice(_RAW) + body[place:]
        case 2:
            return body[:place] + chance.randbytes(chance.randint(1, 8)) + body[place + 1 :]
    other = chance.randrange(len(body) + 1)
    return body[:place] + body[min(place, other) : max(place, other)] + body[other:]
