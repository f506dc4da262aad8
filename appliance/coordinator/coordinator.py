"""One chat request, start to end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Protocol

from appliance.coordinator.options import CoordinatorOptions
from appliance.coordinator.prompt_set import PromptSet
from appliance.coordinator.strategies import Strategy
from appliance.dispatch.dispatcher import Dispatcher
from appliance.domain.request import AnswerEvent, ChatRequest
from appliance.domain.tenant import Tenant
from appliance.domain.trace import Trace


class TraceSink(Protocol):
    """Where traces go."""

    async def save(self, trace: Trace) -> None:
        """Store one trace."""


class Coordinator:
    """Answers chat requests. `prompt_sets` has one entry per model of the pool."""

    def __init__(
        self,
        options: CoordinatorOptions,
        prompt_sets: Mapping[str, PromptSet],
        dispatcher: Dispatcher,
        traces: TraceSink,
        strategies: Mapping[str, Strategy],
        *,
        salt_secret: bytes,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        raise NotImplementedError

    def answer(
        self, request: ChatRequest, *, request_id: str, trace_id: str, tenant: Tenant
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the events of the answer, `Finished` last."""
        raise NotImplementedError

    async def close(self) -> None:
        """Wait until every trace is saved."""
