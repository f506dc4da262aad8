"""An EngineClient in this process that says what a script tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.domain.endpoint import Endpoint
from appliance.domain.engine import EngineStatus
from appliance.domain.request import CallChunk, CallContext, EngineCall, TokenLogprob, Usage
from appliance.engines.chunks import whole_chunk_of
from appliance.errors import ApplianceError, BudgetExhausted, EngineRejected
from tests.fakes.pooled import pooled


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer, streamed piece by piece, each `delay_s` after the one before.

    `error` comes after `pieces_before_error` pieces, `hangs` never ends. `probability` of the last piece's token
    against its rival (pass / fail). Usage is 10 prompt tokens and one token a piece unless `usage` says otherwise;
    `tells_usage=False` leaves it out.
    """

    text: str = ""
    pieces: tuple[str, ...] = ()
    delay_s: float = 0.0
    error: ApplianceError | None = None
    pieces_before_error: int = 0
    hangs: bool = False
    finish_reason: str = "stop"
    usage: Usage | None = None
    tells_usage: bool = True
    probability: float | None = None
    raw_delta: Mapping[str, Any] | None = None
    raw_logprobs: Mapping[str, Any] | None = None
    reasoning: str = ""

    def parts(self) -> tuple[str, ...]:
        """The pieces, by default words and signs."""
        return self.pieces or tuple(re.findall(r"\s*\w+|\s*[^\w\s]|\s+", self.text))


Script = Callable[[EngineCall, CallContext], Reply | str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as it reached the engine."""

    engine_id: str
    call: EngineCall
    ctx: CallContext
    at_s: float

    @property
    def prompt(self) -> str:
        """The last message."""
        return str(self.call.messages[-1]["content"])


@dataclass(slots=True)
class ScriptedClient:
    """Answers by `script`; counts streams that are open, that were open at once, and that were cut by the caller."""

    script: Script
    pooled_after_s: float = 0.0
    """How long an answer takes that is no text."""
    asked: list[Asked] = field(default_factory=list)
    open_streams: int = 0
    most_open: int = 0
    aborted: int = 0

    async def stream_chat(self, engine: EngineStatus, call: EngineCall, ctx: CallContext) -> AsyncGenerator[CallChunk]:
        """Stream the scripted reply."""
        self.asked.append(Asked(engine.engine_id, call, ctx, asyncio.get_running_loop().time()))
        self.open_streams += 1
        self.most_open = max(self.most_open, self.open_streams)
        try:
            if not call.endpoint.streamed:
                await _wait(self.pooled_after_s, ctx.deadline_s)
                yield _whole(engine, call)
                return
            reply = self.script(call, ctx)
            for chunk in _chunks(Reply(reply) if isinstance(reply, str) else reply):
                if isinstance(chunk, ApplianceError):
                    raise chunk
                await _wait(chunk[0], ctx.deadline_s)
                yield _plain(chunk[1]) if call.endpoint is Endpoint.COMPLETIONS else chunk[1]
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted += 1
            raise
        finally:
            self.open_streams -= 1

    async def generate_one(self, engine: EngineStatus, timeout_s: float) -> None:
        """Always fine."""

    async def healthy(self, engine: EngineStatus, timeout_s: float = 2.0) -> bool:
        """Always fine."""
        return True

    async def close(self) -> None:
        """Nothing to close."""

    def prompts(self, model_id: str) -> list[str]:
        """Last messages sent to one model, in order."""
        return [asked.prompt for asked in self.asked if asked.call.model_id == model_id]


def _whole(engine: EngineStatus, call: EngineCall) -> CallChunk:
    """What vLLM answers where no text is made, and how it refuses what it can't do."""
    try:
        document = pooled(call.endpoint, {**call.params, **call.inputs, "model": call.model_id}, engine.max_model_len)
    except ValueError as error:
        raise EngineRejected("the engine refused", status=400, detail=str(error)) from None
    return whole_chunk_of(document, call.endpoint, engine.engine_id)


def _plain(chunk: CallChunk) -> CallChunk:
    """As a piece of a text completion."""
    if chunk.usage is not None:
        return chunk
    choice = {"index": 0, "text": chunk.text, "logprobs": None, "finish_reason": chunk.finish_reason}
    return replace(chunk, raw_event={"choices": [choice]})


async def _wait(delay_s: float, deadline_s: float) -> None:
    """Sleep, like a client that ends at the deadline."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    await asyncio.sleep(min(delay_s, max(0.0, left_s)))
    if delay_s > left_s:
        raise BudgetExhausted("the request's time was up", limit="wall_s")


def _chunks(reply: Reply) -> list[tuple[float, CallChunk] | ApplianceError]:
    parts = reply.parts()
    out: list[tuple[float, CallChunk] | ApplianceError] = []
    for number, part in enumerate(parts):
        if reply.error is not None and number == reply.pieces_before_error:
            return [*out, reply.error]
        first, last = number == 0, number == len(parts) - 1
        chunk = CallChunk(
            text=part,
            reasoning=reply.reasoning if first else "",
            logprobs=_logprobs(part, reply.probability) if last and reply.probability is not None else (),
            raw_delta=reply.raw_delta if first else None,
            raw_logprobs=reply.raw_logprobs if first else None,
        )
        out.append((reply.delay_s, chunk))
    if reply.error is not None:
        return [*out, reply.error]
    if reply.hangs:
        return [*out, (math.inf, CallChunk())]
    out.append((0.0, CallChunk(finish_reason=reply.finish_reason)))
    if reply.tells_usage:
        out.append((0.0, CallChunk(usage=reply.usage or Usage(10, len(parts)))))
    return out


def _logprobs(token: str, probability: float) -> tuple[TokenLogprob, ...]:
    rival = "fail" if token.strip() == "pass" else "pass"
    own = probability if token.strip() == "pass" else 1 - probability
    return (TokenLogprob(token, _log(own), {token: _log(own), rival: _log(1 - own)}),)


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-12))
