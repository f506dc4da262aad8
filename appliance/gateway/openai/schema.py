"""The body of `POST /v1/chat/completions`: what is read, what is passed on, and what is refused by name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.domain.identifier import Identifier
from appliance.domain.request import ChatMessage, ChatRequest, Document, Effort
from appliance.gateway.openai import fields
from appliance.gateway.openai.answer_form import Tool, ToolChoice
from appliance.gateway.openai.body import DEFAULT_LIMITS, MAX_DEPTH, Body, Json, RequestLimits, checked, read
from appliance.gateway.openai.content import Content, Mixed
from appliance.gateway.openai.fields import RequestFields, SamplingFields, StreamOptions, Tokens

__all__ = ["MAX_DEPTH", "REFUSED", "ChatCompletionBody", "parse"]

REFUSED: Final = {
    **fields.REFUSED,
    "audio": "sound is not supported; leave it out",
    "function_call": "deprecated by OpenAI; use tool_choice",
    "functions": "deprecated by OpenAI; use tools",
    "prediction": "predicted output is not supported; leave it out",
    "web_search_options": "the appliance has no way out to the web; leave it out",
}
"""Fields that callers may know from elsewhere, and why they are not taken."""

_FURTHER: Final = (
    *("tools", "tool_choice", "parallel_tool_calls", "logprobs", "top_logprobs", "reasoning_effort"),
    *("chat_template_kwargs", "add_generation_prompt", "continue_final_message"),
)
"""What goes to the engine unchanged when one call answers, besides how it is drawn."""

EFFORTS: Final = {
    **dict.fromkeys(("none", "minimal", "low"), Effort.LOW),
    **dict.fromkeys(("high", "xhigh", "max"), Effort.HIGH),
}
"""OpenAI's steps of effort → ours; the outer ones count as the nearest."""


class Message(Body):
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
        if isinstance(self.content, Mixed) and self.role != "user":
            raise PydanticCustomError("content", "only the user shows images", {"below": ".content"})
        return self

    @property
    def images(self) -> int:
        """How many it shows."""
        return self.content.images if isinstance(self.content, Mixed) else 0

    def to_domain(self) -> ChatMessage:
        """As the house knows it. `developer` is OpenAI's newer word for what open models call `system`."""
        role = "system" if self.role == "developer" else self.role
        kept = {"name": self.name, "tool_calls": self.tool_calls, "tool_call_id": self.tool_call_id}
        extra = {key: value for key, value in kept.items() if value is not None}
        if isinstance(self.content, Mixed):
            return ChatMessage(role, self.content.text, extra, self.content.parts)
        return ChatMessage(role, self.content or "", extra)


class DocumentBody(Body):
    """A text that the question is about."""

    text: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(max_length=1_000)] | None = None


class ChatCompletionBody(RequestFields, SamplingFields):
    """A chat completion request: OpenAI's fields, those of vLLM's that are safe to pass on, and ours."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2_048)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None

    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None

    chat_template_kwargs: Json | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    show_progress: bool = True
    """Ours: send the work on the answer as reasoning."""
    documents: Annotated[list[DocumentBody], Field(max_length=256)] | None = None
    """Ours: texts that the question is about. They are data: no planner reads them, and no model is to obey them."""
    effort: Literal["low", "medium", "high"] | None = None
    """Ours: how much may be spent on an answer of `auto`; `reasoning_effort` says it where this does not."""
    strategy: Identifier | None = None
    """Ours: how `auto` is to answer, where the configuration leaves it to callers (`coordinator.allow_choice`)."""

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
        return ChatRequest(
            model=self.model,
            messages=tuple(message.to_domain() for message in self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            sampling=self.chosen(*_FURTHER),
            show_progress=self.show_progress,
            streamed=bool(self.stream),
            documents=tuple(Document(d.text, d.title or "") for d in self.documents or ()),
            labels=self.label_names(),
            budget=self.budget_wish(),
            effort=self._effort(),
            strategy=self.strategy,
        )

    def _effort(self) -> Effort:
        """Our own field, else OpenAI's, whose outer steps count as the nearest one of ours."""
        if self.effort is not None:
            return Effort(self.effort)
        return EFFORTS.get(self.reasoning_effort or "", Effort.MEDIUM)


def parse(body: bytes, limits: RequestLimits = DEFAULT_LIMITS) -> ChatCompletionBody:
    """Bytes of a request → checked body. Raises InvalidRequest, naming the field."""
    said = checked(ChatCompletionBody, read(body), REFUSED)
    limits.check_choices(said.n)
    limits.check_images(sum(message.images for message in said.messages))
    return said
