"""What engines are asked for: the paths of their HTTP API that calls may go to, and which kind of engine has which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Endpoint(StrEnum):
    """Where a call goes. The value is the path on the engine; there are no others, vLLM's further ones stay shut."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"
    TOKENIZE = "/tokenize"
    DETOKENIZE = "/detokenize"

    @property
    def streamed(self) -> bool:
        """Whether the engine answers it as a stream of events."""
        return self in (Endpoint.CHAT, Endpoint.COMPLETIONS)

    @property
    def scheduled(self) -> bool:
        """Whether the engine's scheduler sees it: what only asks the tokenizer has no priority and no cache."""
        return self not in _TOKENS


class EngineTask(StrEnum):
    """What an engine makes of a prompt: text, a vector, or how well two texts fit each other."""

    GENERATE = "generate"
    EMBED = "embed"
    RERANK = "rerank"

    @property
    def offers(self) -> frozenset[Endpoint]:
        """The endpoints that such engines have."""
        return _OFFERS[self]


_TOKENS: Final = frozenset({Endpoint.TOKENIZE, Endpoint.DETOKENIZE})
_SCORES: Final = frozenset({Endpoint.RERANK, Endpoint.SCORE})

_OFFERS: Final[Mapping[EngineTask, frozenset[Endpoint]]] = {
    EngineTask.GENERATE: frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS}) | _TOKENS,
    # vLLM scores two texts by the cosine of their vectors where the model has no head for it.
    EngineTask.EMBED: frozenset({Endpoint.EMBEDDINGS}) | _SCORES | _TOKENS,
    EngineTask.RERANK: _SCORES | _TOKENS,
}
