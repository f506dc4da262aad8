"""`POST /v1/chat/completions`: check the body, hand it to the coordinator, send its events."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from appliance.gateway.openai.chunks import ChunkWriter
from appliance.gateway.openai.completion import CompletionFold
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import ChatCompletion
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.schema import ChatCompletionBody, parse


def router(intake: Intake) -> APIRouter:
    """The chat route around one coordinator."""
    routes = APIRouter(tags=["chat"])

    @routes.post(
        "/v1/chat/completions",
        response_class=Response,
        **described(ChatCompletionBody, ChatCompletion, streams=True),
    )
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, streamed or whole."""
        body = parse(await request.body(), intake.limits)
        wanted, choices = body.to_domain(), body.n or 1
        if body.stream:
            writer = partial(ChunkWriter, choices=choices, include_usage=body.include_usage)
            return intake.streamed(request, wanted, writer)
        return intake.whole(request, wanted, partial(CompletionFold, choices=choices))

    return routes
