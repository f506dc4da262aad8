"""`POST /v1/embeddings`: texts → vectors, where the pool has a model that embeds."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from appliance.domain.endpoint import Endpoint
from appliance.domain.request import ChatRequest
from appliance.gateway.openai.body import checked, read
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import Embeddings
from appliance.gateway.openai.fields import REFUSED, RequestFields
from appliance.gateway.openai.inputs import Inputs, as_messages
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.relayed import RelayedFold


class EmbeddingsBody(RequestFields):
    """An embeddings request: OpenAI's fields, and vLLM's for prompts that are too long."""

    input: Inputs
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Shorter vectors, for models that were trained to give them; the engine refuses it for others."""
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    """Keep so many tokens of each input; -1: as many as the model takes."""

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        wishes = ("encoding_format", "dimensions", "truncate_prompt_tokens")
        return ChatRequest(
            model=self.model,
            messages=as_messages(self.input),
            sampling={name: value for name in wishes if (value := getattr(self, name)) is not None},
            streamed=False,
            labels=self.label_names(),
            budget=self.budget_wish(),
            endpoint=Endpoint.EMBEDDINGS,
            inputs={"input": self.input},
        )


def router(intake: Intake) -> APIRouter:
    """The route around one coordinator."""
    routes = APIRouter(tags=["embeddings"])

    @routes.post("/v1/embeddings", response_class=Response, **described(EmbeddingsBody, Embeddings))
    async def embeddings(request: Request) -> Response:
        """A vector for each input."""
        body = checked(EmbeddingsBody, read(await request.body()), REFUSED)
        return intake.whole(request, body.to_domain(), partial(RelayedFold, prefix="embd"))

    return routes
