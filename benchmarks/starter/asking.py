"""Questions to the running appliance through the stock `openai` client, and the traces of their answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from openai import AsyncOpenAI
from pydantic import TypeAdapter

from appliance.domain.trace import Trace
from benchmarks.starter.appliance_process import DemoFailed

SEPARATOR = ";"
"""A starter model writes its working before the last of these and the answer after it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its text, tokens of all calls below it, seconds, and the id of its trace."""

    answer: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    trace_id: str
    strategy: str
    calls: int

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


async def ask(client: AsyncOpenAI, model: str, question: str, **params: Any) -> Reply:
    """One chat completion, not streamed. Raises the client's own errors."""
    started = time.perf_counter()
    response = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], **params
    )
    seconds = time.perf_counter() - started
    about = (response.model_extra or {}).get("appliance", {})
    usage = response.usage
    return Reply(
        answer=final_answer(response.choices[0].message.content or ""),
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        seconds=seconds,
        trace_id=about.get("trace_id", ""),
        strategy=about.get("strategy", ""),
        calls=about.get("calls", 0),
    )


async def trace_of(http: aiohttp.ClientSession, url: str, trace_id: str) -> Trace:
    """The trace of an answer. Raises DemoFailed when none was kept."""
    for _ in range(20):  # it is written just after the answer's last byte
        async with http.get(f"{url}/v1/traces/{trace_id}") as answer:
            if answer.status == 200:
                return TypeAdapter(Trace).validate_json(await answer.read())
        await asyncio.sleep(0.1)
    raise DemoFailed(f"no trace {trace_id} was kept")


def final_answer(text: str) -> str:
    """What stands after the working."""
    return text.rsplit(SEPARATOR, 1)[-1].strip()
