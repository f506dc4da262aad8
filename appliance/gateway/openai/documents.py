"""The bodies of answers as the OpenAPI document describes them. Nothing is made or checked with these at run time."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class ErrorObject(BaseModel):
    """What went wrong; `param` names the field."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorDocument(BaseModel):
    """OpenAI's error shape."""

    error: ErrorObject


class CachedTokens(BaseModel):
    """Prompt tokens that the engine knew already."""

    cached_tokens: int


class UsageObject(BaseModel):
    """Tokens of all calls together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Reduced(BaseModel):
    """A part of the whole that was left out, and why."""

    step: str
    reason: str


class FanOut(BaseModel):
    """What OpenAI has no words for."""

    trace_id: str
    strategy: str
    calls: int
    gpu_s: float
    reduced: list[Reduced]
    usage_by_role: dict[str, dict[str, Any]]
    usage_by_model: dict[str, dict[str, Any]]


class ChatMessageObject(BaseModel):
    """What was said."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: ChatMessageObject
    logprobs: dict[str, Any] | None
    finish_reason: str


class _Answer(BaseModel):
    id: str
    created: int
    model: str
    usage: UsageObject
    appliance: FanOut


class ChatCompletion(_Answer):
    """A whole chat completion."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class TextChoice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class TextCompletion(_Answer):
    """A whole text completion."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


class Embedding(BaseModel):
    """One vector: numbers, or their bytes in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Embeddings(_Answer):
    """Vectors in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]


class RankedDocument(BaseModel):
    """The text itself."""

    text: str | None = None


class Ranked(BaseModel):
    """A document, by its place in the request, and how well it fits the query."""

    index: int
    relevance_score: float
    document: RankedDocument | None = None


class Ranking(_Answer):
    """Documents, best first."""

    results: list[Ranked]


class Score(BaseModel):
    """How well two texts fit each other."""

    index: int
    object: Literal["score"]
    score: float


class Scores(_Answer):
    """Scores in the order of the pairs."""

    object: Literal["list"]
    data: list[Score]


class TokenList(BaseModel):
    """A prompt as its tokens."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class TokensText(BaseModel):
    """Tokens as text."""

    prompt: str


class ResponseUsage(BaseModel):
    """Tokens of all calls together, under the names that responses have for them."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class OutputItem(BaseModel):
    """A message, reasoning, or a call of a function."""

    id: str
    type: Literal["message", "reasoning", "function_call"]
    status: Literal["completed", "incomplete"]


class ResponseObject(BaseModel):
    """A whole response."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    model: str
    output: list[OutputItem]
    usage: ResponseUsage
    appliance: FanOut


class Capabilities(BaseModel):
    """What a model can do."""

    endpoints: list[str]
    tools: bool
    images: bool
    reasoning: bool
    roles: list[str]
    skills: dict[str, float]


class ModelObject(BaseModel):
    """A model of the pool, or the virtual one, which has no weights of its own."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    virtual: bool
    description: str
    capabilities: Capabilities
    licence: str | None = None
    max_model_len: int | None = None
    ready_engines: int | None = None


class ModelList(BaseModel):
    """All models that a request may name."""

    object: Literal["list"]
    data: list[ModelObject]


class Ready(BaseModel):
    """Whether every role can be played, and the models of those that can't."""

    ready: bool
    missing: dict[str, list[str]]
