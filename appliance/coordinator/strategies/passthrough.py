"""One call to the model that the caller named, relayed word for word."""

from __future__ import annotations

from appliance.coordinator.answer_stream import stream_answer
from appliance.coordinator.ask import Ask
from appliance.coordinator.calls import CallPurpose
from appliance.coordinator.conversation import with_documents
from appliance.coordinator.run import Run
from appliance.domain.model import Role
from appliance.domain.request import ChatRequest

TASK_ID = "answer"


class Passthrough:
    """A task graph of one task, without a template: what the engine says is what the caller gets."""

    async def answer(self, run: Run) -> str:
        """Relay every delta."""
        ask = caller_ask(run.request, run.request.max_tokens)
        return await stream_answer(
            run, CallPurpose(Role.GENERALIST, TASK_ID), (run.request.model,), lambda _: ask, verbatim=True
        )


def caller_ask(request: ChatRequest, max_tokens: int | None) -> Ask:
    """The caller's own messages and sampling."""
    messages = tuple(message.as_sent() for message in with_documents(request.messages, request.documents))
    return Ask(
        messages,
        max_tokens,
        request.sampling,
        exact=request.max_tokens is not None,
        endpoint=request.endpoint,
        inputs=request.inputs,
    )
