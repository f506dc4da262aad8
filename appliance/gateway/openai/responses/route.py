"""The route of responses."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import ResponseObject
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.responses.answers import ResponseFold, ResponseWriter
from appliance.gateway.openai.responses.body import ResponseBody, parse


def router(intake: Intake) -> APIRouter:
    """The route around one coordinator."""
    routes = APIRouter(tags=["responses"])

    @routes.post("/v1/responses", response_class=Response, **described(ResponseBody, ResponseObject, streams=True))
    async def responses(request: Request) -> Response:
        """Answer a conversation with items, streamed or whole; nothing is kept of it."""
        body = parse(await request.body(), intake.limits)
        if body.stream:
            return intake.streamed(request, body.to_domain(), partial(ResponseWriter, asked=body))
        return intake.whole(request, body.to_domain(), partial(ResponseFold, asked=body))

    return routes
