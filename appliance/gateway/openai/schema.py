"""The body of `POST /v1/chat/completions`: what is read, what is passed on, and what is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from appliance.domain.identifier import Identifier
from appliance.domain.request import BudgetWish, ChatMessage, ChatRequest, Document, Effort
from appliance.errors import InvalidRequest
from appliance.gateway.error_responses import invalid
from appliance.gateway.openai.answer_form import Json, ResponseFormat, Tool, ToolChoice

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects in a body."""

REFUSED: Final = {
    "audio": "sound is not supported; leave it out",
    "cache_salt": "the appliance sets it for each tenant; leave it out",
    "function_call": "deprecated by OpenAI; use tool_choice",
    "functions": "deprecated by OpenAI; use tools",
    "prediction": "predicted output is not supported; leave it out",
    "priority": "the appliance sets it for each tenant; leave it out",
    "web_search_options": "the appliance has no way out to the web; leave it out",
}
"""Fields that callers may know from elsewhere, and why they are not taken."""

_ENGINE_FIELDS: Final = (
    *("temperature", "top_p", "stop", "seed", "response_format", "tools", "tool_choice", "parallel_tool_calls"),
    *("logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort"),
    *("top_k", "min_p", "min_tokens", "repetition_penalty", "stop_token_ids", "skip_special_tokens"),
    *("structured_outputs", "chat_template_kwargs"),
)
"""What goes to the engine unchanged when one call answers."""

_EFFORTS: Final = {
    **dict.fromkeys(("none", "minimal", "low"), Effort.LOW),
    **dict.fromkeys(("high", "xhigh", "max"), Effort.HIGH),
}

_TEXT_PARTS: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "object", "required": ["type", "text"]}},
        {"type": "null"},
    ]
}


def _joined(content: Any) -> Any:
    """A list of text parts → one string, joined by newlines as vLLM does it."""
    if not isinstance(content, list):
        return content
    texts = []
    for index, part in enumerate(content):
        if not isinstance(part, dict):
            raise _part_error("a content part is an object with type and text", f"[{index}]")
        if part.get("type") != "text":
            shown = str(part.get("type"))[:40]
            raise _part_error(f"content of type {shown!r} is not supported; send type 'text'", f"[{index}].type")
        if not isinstance(part.get("text"), str):
            raise _part_error("a text part needs the string `text`", f"[{index}].text")
        texts.append(part["text"])
    return "\n".join(texts)


def _part_error(message: str, below: str) -> PydanticCustomError:
    return PydanticCustomError("content_part", "{reason}", {"reason": message, "below": below})


def _one_or_many(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


Content = Annotated[str | None, BeforeValidator(_joined), WithJsonSchema(_TEXT_PARTS)]
Stops = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=1_000)]], Field(max_length=16)] | None,
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class Message(_Body):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    name: Annotated[str, Field(max_length=256)] | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: Annotated[str, Field(max_length=256)] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    annotations: list[Json] | None = None
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _has_something(self) -> Message:
        if self.content is None and not (self.role == "assistant" and (self.tool_calls or self.refusal)):
            raise PydanticCustomError("content", "content is missing", {"below": ".content"})
        return self

    def to_domain(self) -> ChatMessage:
        """As the house knows it. `developer` is OpenAI's newer word for what open models call `system`."""
        role = "system" if self.role == "developer" else self.role
        kept = {"name": self.name, "tool_calls": self.tool_calls, "tool_call_id": self.tool_call_id}
        extra = {key: value for key, value in kept.items() if value is not None}
        return ChatMessage(role, self.content or "", extra)


class StreamOptions(_Body):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: Literal[False] | None = None


class BudgetBody(_Body):
    """The most that one request may spend; what is configured here stays the upper bound."""

    calls: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    gpu_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    wall_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def to_domain(self) -> BudgetWish:
        """As the coordinator takes it."""
        return BudgetWish(self.calls, self.tokens, self.gpu_s, self.wall_s)


class DocumentBody(_Body):
    """A text that the question is about."""

    text: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(max_length=1_000)] | None = None


class ChatCompletionBody(_Body):
    """A chat completion request: OpenAI's fields, those of vLLM's that are safe to pass on, and ours."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=2_048)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    n: Literal[1] | None = None

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Stops = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    response_format: ResponseFormat = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=300)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None

    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    stop_token_ids: Annotated[list[int], Field(max_length=64)] | None = None
    skip_special_tokens: bool | None = None
    structured_outputs: Json | None = None
    chat_template_kwargs: Json | None = None

    show_progress: bool = True
    """Ours: send the work on the answer as reasoning."""
    documents: Annotated[list[DocumentBody], Field(max_length=256)] | None = None
    """Ours: texts that the question is about. They are data: no planner reads them, and no model is to obey them."""
    labels: Annotated[list[Identifier], Field(max_length=16)] | None = None
    """Ours: what the data of the request are (`confidential`, …); only models and nodes that may see them are used."""
    budget: BudgetBody | None = None
    """Ours: limits of this request below those of the configuration."""
    effort: Literal["low", "medium", "high"] | None = None
    """Ours: how much may be spent on an answer of `auto`; `reasoning_effort` says it where this does not."""
    strategy: Identifier | None = None
    """Ours: how `auto` is to answer, where the configuration leaves it to callers (`coordinator.allow_choice`)."""

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ChatCompletionBody:
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("logprobs", "needs logprobs: true", {"below": "top_logprobs"})
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "needs stream: true", {"below": "stream_options"})
        return self

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        sampling = {name: value for name in _ENGINE_FIELDS if (value := getattr(self, name)) is not None}
        return ChatRequest(
            model=self.model,
            messages=tuple(message.to_domain() for message in self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            sampling=sampling,
            show_progress=self.show_progress,
            streamed=bool(self.stream),
            documents=tuple(Document(d.text, d.title or "") for d in self.documents or ()),
            labels=tuple(sorted(set(self.labels or ()))),
            budget=self.budget.to_domain() if self.budget else BudgetWish(),
            effort=self._effort(),
            strategy=self.strategy,
        )

    def _effort(self) -> Effort:
        """Our own field, else OpenAI's, whose outer steps count as the nearest one of ours."""
        if self.effort is not None:
            return Effort(self.effort)
        return _EFFORTS.get(self.reasoning_effort or "", Effort.MEDIUM)


def parse(body: bytes) -> ChatCompletionBody:
    """Bytes of a request → checked body. Raises InvalidRequest, naming the field."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    if _deeper_than(document, MAX_DEPTH):
        raise InvalidRequest(f"the body is nested deeper than {MAX_DEPTH} levels")
    for name, reason in REFUSED.items():
        if document.get(name) is not None:
            raise InvalidRequest(f"{name}: {reason}", param=name)
    if document.get("n") not in (None, 1):
        raise InvalidRequest("n: only 1 answer per request is supported; send several requests", param="n")
    try:
        return ChatCompletionBody.model_validate(document)
    except ValidationError as error:
        raise invalid(error) from None


def _deeper_than(document: Json, limit: int) -> bool:
    """Level by level, so that a hostile body costs no stack."""
    level: Sequence[Any] = [document]
    for _ in range(limit):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(value for value in item.values() if isinstance(value, dict | list))
            else:
                inner.extend(value for value in item if isinstance(value, dict | list))
        if not inner:
            return False
        level = inner
    return True
