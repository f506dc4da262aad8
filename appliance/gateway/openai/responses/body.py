"""The body of `POST /v1/responses`: what is read, what becomes of it, and what is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from appliance.coordinator.answer_shape import schema_problem
from appliance.domain.identifier import Identifier
from appliance.domain.request import ChatMessage, ChatRequest, Document, Effort
from appliance.gateway.openai import fields
from appliance.gateway.openai.body import Body, Json, RequestLimits, checked, read
from appliance.gateway.openai.fields import RequestFields, Tokens
from appliance.gateway.openai.responses.turns import InputTurns
from appliance.gateway.openai.schema import EFFORTS, DocumentBody

LOGPROBS: Final = "message.output_text.logprobs"

_STATELESS: Final = "nothing is kept between requests here; send the whole conversation as input"

REFUSED: Final = {
    **fields.REFUSED,
    "background": "answers are given while the caller waits; leave it out",
    "context_management": _STATELESS,
    "conversation": _STATELESS,
    "previous_response_id": _STATELESS,
    "prompt": "prompts are not stored here; send instructions and input",
    "store": f"{_STATELESS}, and leave store out",
}
"""Fields that callers may know from elsewhere, and why they are not taken."""

_HARMLESS: Final = {"background": False, "store": False}
"""What says the same as leaving the field out."""


class FunctionTool(Body):
    """A function that the model may call."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    parameters: Json | None = None
    description: str | None = None
    strict: bool | None = None

    def to_engine(self) -> Json:
        """As chats have it."""
        said = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {key: value for key, value in said.items() if value is not None}}


def _schema(said: Json | None) -> Json | None:
    if said is not None and (problem := schema_problem(said)):
        raise PydanticCustomError("schema", "{reason}", {"reason": problem})
    return said


class TextFormat(Body):
    """The form of the answer."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Field(max_length=256)] | None = None
    form: Annotated[Json | None, AfterValidator(_schema)] = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> TextFormat:
        if self.type == "json_schema" and self.form is None:
            raise PydanticCustomError("schema", "a json_schema needs it", {"below": ".schema"})
        return self

    def to_engine(self) -> Json | None:
        """As chats have it."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return {"type": self.type}
        named = {"name": self.name or "answer", "schema": self.form, "strict": self.strict}
        return {"type": self.type, "json_schema": {key: value for key, value in named.items() if value is not None}}


class TextOptions(Body):
    """How the answer's text is to be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Body):
    """How much to think. Summaries are not made: what models think is sent as it is."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamingOptions(Body):
    """Taken, and left alone."""

    include_obfuscation: bool | None = None


def _choice(said: Any) -> Any:
    """`{"type": "function", "name": …}` → as chats have it."""
    if said is None or said in ("none", "auto", "required"):
        return said
    if isinstance(said, dict) and said.get("type") == "function" and isinstance(said.get("name"), str):
        return {"type": "function", "function": {"name": said["name"]}}
    raise PydanticCustomError(
        "tool_choice", "expected 'none', 'auto', 'required' or {\"type\": \"function\", \"name\": …}"
    )


_CHOICE: Final = {
    "anyOf": [
        {"enum": ["none", "auto", "required"]},
        {
            "type": "object",
            "required": ["type", "name"],
            "properties": {"type": {"const": "function"}, "name": {"type": "string"}},
        },
        {"type": "null"},
    ]
}


class ResponseBody(RequestFields):
    """A request for a response: OpenAI's fields as far as they need no memory, and ours."""

    input: InputTurns
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamingOptions | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Annotated[Any, BeforeValidator(_choice), WithJsonSchema(_CHOICE)] = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    """Logprobs of the text. Encrypted reasoning is not needed: it comes in the clear."""
    truncation: Literal["disabled"] | None = None
    store: Literal[False] | None = None
    background: Literal[False] | None = None

    show_progress: bool = True
    """Ours: send the work on the answer as reasoning."""
    documents: Annotated[list[DocumentBody], Field(max_length=256)] | None = None
    """Ours: texts that the question is about. They are data: no planner reads them, and no model is to obey them."""
    effort: Literal["low", "medium", "high"] | None = None
    """Ours: how much may be spent on an answer of `auto`; `reasoning.effort` says it where this does not."""
    strategy: Identifier | None = None
    """Ours: how `auto` is to answer, where the configuration leaves it to callers (`coordinator.allow_choice`)."""

    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None

    @property
    def turns(self) -> tuple[ChatMessage, ...]:
        """Instructions and input as one conversation."""
        said: tuple[ChatMessage, ...] = self.input
        return (ChatMessage("system", self.instructions), *said) if self.instructions else said

    @property
    def wants_logprobs(self) -> bool:
        """Whether the text comes with them."""
        return LOGPROBS in (self.include or ()) or self.top_logprobs is not None

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it: a chat."""
        thought = self.reasoning.effort if self.reasoning else None
        return ChatRequest(
            model=self.model,
            messages=self.turns,
            max_tokens=self.max_output_tokens,
            sampling=self._sampling(thought),
            show_progress=self.show_progress,
            streamed=bool(self.stream),
            documents=tuple(Document(d.text, d.title or "") for d in self.documents or ()),
            labels=self.label_names(),
            budget=self.budget_wish(),
            effort=Effort(self.effort) if self.effort else EFFORTS.get(thought or "", Effort.MEDIUM),
            strategy=self.strategy,
        )

    def _sampling(self, thought: str | None) -> Json:
        form = self.text.format.to_engine() if self.text and self.text.format else None
        said: Json = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": form,
            "tools": [tool.to_engine() for tool in self.tools] if self.tools else None,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "logprobs": True if self.wants_logprobs else None,
            "top_logprobs": self.top_logprobs if self.wants_logprobs else None,
            "reasoning_effort": thought,
        }
        return {name: value for name, value in said.items() if value is not None}


def parse(body: bytes, limits: RequestLimits) -> ResponseBody:
    """Bytes of a request → checked body. Raises InvalidRequest, naming the field."""
    document = read(body)
    document = {name: value for name, value in document.items() if not _harmless(name, value)}
    said = checked(ResponseBody, document, REFUSED)
    limits.check_images(sum(part["type"] != "text" for turn in said.turns for part in turn.parts))
    return said


def _harmless(name: str, value: Any) -> bool:
    return name in _HARMLESS and value is _HARMLESS[name]
