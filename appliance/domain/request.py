"""A chat request on its way through the house, and the events of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from appliance.domain.endpoint import Endpoint
from appliance.domain.forecast import Reduction
from appliance.domain.model import Role
from appliance.domain.tenant import DEFAULT


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message; `extra` holds the OpenAI fields that only an engine reads (tool calls, name, …).

    `parts` are its texts and images in their order, where it has images; `content` is the text alone.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Mapping[str, Any], ...] = ()

    def as_sent(self) -> dict[str, Any]:
        """The message as an engine takes it."""
        return {"role": self.role, "content": list(self.parts) or self.content, **self.extra}


@dataclass(frozen=True, slots=True)
class Document:
    """A text that the question is about. It is data, whatever it says."""

    text: str
    title: str = ""

    def as_text(self) -> str:
        """Title and text."""
        return f"{self.title}\n\n{self.text}" if self.title else self.text


class Effort(StrEnum):
    """How much may be spent on an answer; the configuration says what each step allows."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class BudgetWish:
    """What a caller wants to spend at most, below what is configured. None: as configured."""

    calls: int | None = None
    tokens: int | None = None
    gpu_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the caller asked for.

    `model` is a pool model or a virtual one (`auto`). `sampling` holds OpenAI's request fields that go to the engine
    unchanged when one call answers (temperature, top_p, stop, seed, response_format, tools, logprobs, …).
    `max_tokens` bounds the answer; None means what the model's context leaves. `labels` say what its data are, besides
    what its tenant's always are; every call below inherits them. `strategy` is the caller's own choice of a way to
    answer; None leaves it to the router. `model_for` are other models in roles than the configured ones: `verifier`,
    `executor` or `executor.math` → model. What is not `streamed` is sent when it is whole, so a broken one can be made
    again. For any other `endpoint` than chat, a named model gets `inputs` (the fields of OpenAI's or vLLM's body that
    hold texts) and `sampling` in one call, and `messages` are those texts for estimates and traces.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    show_progress: bool = True
    streamed: bool = True
    documents: tuple[Document, ...] = ()
    labels: tuple[str, ...] = ()
    budget: BudgetWish = field(default_factory=BudgetWish)
    effort: Effort = Effort.MEDIUM
    strategy: str | None = None
    model_for: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint = Endpoint.CHAT
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_images(self) -> bool:
        """Whether any message shows one."""
        return any(message.parts for message in self.messages)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a request belongs to.

    `traceparent` is the W3C header of the caller's own trace, `replay_of` the id of the trace whose request runs again.
    """

    traceparent: str | None = None
    replay_of: str | None = None


UNRELATED = Origin()


@dataclass(frozen=True, slots=True)
class CallContext:
    """What every call below a request carries. `deadline_s` is on the monotonic clock.

    `labels` are those of the request and its tenant together: no engine may get the call that may not see all of them,
    or that `policy`, the tenant's by its name, does not allow.
    `calls_after` calls at least follow this one, one after the other, until the request is answered. `calls_left` of
    the request have not ended, this one included; None where nobody knows.
    """

    request_id: str
    trace_id: str
    task_id: str
    role: Role
    tenant: str
    priority: int
    deadline_s: float
    remaining_tokens: int
    cache_salt: str
    labels: frozenset[str] = frozenset()
    policy: str = DEFAULT
    calls_after: int = 0
    calls_left: int | None = None


@dataclass(frozen=True, slots=True)
class EngineCall:
    """One answer wanted from one model: an OpenAI body without `model` and `stream`.

    Chat has `messages`, every other endpoint has `inputs`.
    """

    model_id: str
    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int | None
    params: Mapping[str, Any] = field(default_factory=dict)
    endpoint: Endpoint = Endpoint.CHAT
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def streamed(self) -> bool:
        """Whether the engine is asked for a stream. vLLM has the logprobs of an echoed prompt in whole answers only."""
        echoed = self.params.get("echo") and self.params.get("logprobs") is not None
        return self.endpoint.streamed and not (self.endpoint is Endpoint.COMPLETIONS and echoed)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token with its log probability (nats) and that of its strongest alternatives."""

    token: str
    logprob: float
    alternatives: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several calls."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class CallChunk:
    """A piece of one engine call's answer. The last chunk has `finish_reason`; one (often after it) has `usage`.

    `raw_delta` is the engine's `delta` object as it came (tool calls and the like) for verbatim relay,
    `raw_logprobs` the choice's `logprobs`, `index` the choice where several were asked for. Endpoints other than chat
    have `raw_event`: the engine's event, or its whole answer, as it came.
    """

    text: str = ""
    reasoning: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    engine_id: str = ""
    raw_delta: Mapping[str, Any] | None = None
    raw_logprobs: Mapping[str, Any] | None = None
    index: int = 0
    raw_event: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Progress or working, shown to clients that read `reasoning_content`; not part of the answer."""

    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """A piece of the answer. What is raw, and `index`, as in `CallChunk`, when one call answers."""

    text: str
    raw_delta: Mapping[str, Any] | None = None
    raw_logprobs: Mapping[str, Any] | None = None
    index: int = 0
    raw_event: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event: why it ended, the true usage summed over all calls, and usage per role and model.

    `gpu_s` are device-seconds, in all and per role and model. `reduced` is what was left out of the whole plan because
    it did not fit. `finish_reasons` has one for each choice where several were asked for.
    """

    finish_reason: str
    usage: Usage
    trace_id: str
    strategy: str
    calls: int
    usage_by_role: Mapping[str, Usage] = field(default_factory=dict)
    usage_by_model: Mapping[str, Usage] = field(default_factory=dict)
    gpu_s: float = 0.0
    gpu_s_by_role: Mapping[str, float] = field(default_factory=dict)
    gpu_s_by_model: Mapping[str, float] = field(default_factory=dict)
    reduced: tuple[Reduction, ...] = ()
    finish_reasons: Mapping[int, str] = field(default_factory=dict)


AnswerEvent = ReasoningDelta | ContentDelta | Finished
