"""The embedding of a prompt, for a learned head that takes one: a short call that an answer can do without."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.run import MODEL_FAILURES, Run
from appliance.domain.endpoint import Endpoint
from appliance.domain.model import Role
from appliance.domain.request import CallChunk
from appliance.errors import BudgetExhausted

TASK_ID: Final = "route"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector, or none; `note` says why there is none where there should be one."""

    vector: tuple[float, ...] = ()
    note: str = ""


NOT_EMBEDDED: Final = Embedded()


async def embedded(run: Run, model_id: str, text: str, timeout_s: float) -> Embedded:
    """The embedding of `text` by a model of the pool, within the request's budget and policy. Never raises for them."""
    try:
        async with asyncio.timeout(timeout_s):
            return Embedded(await _vector(run, model_id, text))
    except TimeoutError:
        reason = f"none within {timeout_s:g} s"
    except (*MODEL_FAILURES, BudgetExhausted) as failure:
        reason = str(failure)
    except (KeyError, IndexError, TypeError, ValueError):
        reason = "the engine's answer is no embedding"
    return Embedded((), f"the learned head was not asked: it needs an embedding of {model_id} ({reason})")


async def _vector(run: Run, model_id: str, text: str) -> tuple[float, ...]:
    message = {"role": "user", "content": text}
    ask = Ask((message,), None, endpoint=Endpoint.EMBEDDINGS, inputs={"input": text})
    document: Mapping[str, Any] = {}

    def take(chunk: CallChunk) -> bool:
        nonlocal document
        document = chunk.raw_event or document
        return True

    await run.caller.make(CallPurpose(Role.ROUTER, TASK_ID, optional=True), model_id, ask, take)
    return vector_of(document)


def vector_of(document: Mapping[str, Any]) -> tuple[float, ...]:
    """The first embedding of an engine's answer; KeyError, IndexError, TypeError or ValueError where there is none."""
    return tuple(float(number) for number in document["data"][0]["embedding"])
