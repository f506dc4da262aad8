"""`POST /v1/completions`: a named model goes on with a text, streamed or whole."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.domain.endpoint import Endpoint
from appliance.domain.request import ChatRequest
from appliance.gateway.openai.body import checked, read
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import TextCompletion
from appliance.gateway.openai.fields import REFUSED, RequestFields, SamplingFields, StreamOptions
from appliance.gateway.openai.inputs import Inputs, as_messages
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.text_answers import TextFold, TextWriter

_FURTHER = ("echo", "logprobs", "suffix", "add_special_tokens", "return_token_ids")
"""What goes to the engine unchanged, besides how texts are drawn."""

DEFAULT_TOKENS = 16
"""OpenAI's, and vLLM's, where the caller says nothing."""


class TextCompletionBody(RequestFields, SamplingFields):
    """A text completion: OpenAI's fields, and those of vLLM's that are safe to pass on."""

    prompt: Inputs
    """A text, its token ids, or a list of either."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    suffix: str | None = None
    """For models that fill in the middle; the engine refuses it for others."""
    add_special_tokens: bool | None = None
    return_token_ids: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> TextCompletionBody:
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("stream_options", "needs stream: true", {"below": "stream_options"})
        return self

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        return ChatRequest(
            model=self.model,
            messages=as_messages(self.prompt),
            max_tokens=DEFAULT_TOKENS if self.max_tokens is None else self.max_tokens,
            sampling=self.chosen(*_FURTHER),
            streamed=bool(self.stream),
            labels=self.label_names(),
            budget=self.budget_wish(),
            endpoint=Endpoint.COMPLETIONS,
            inputs={"prompt": self.prompt},
        )


def router(intake: Intake) -> APIRouter:
    """The route around one coordinator."""
    routes = APIRouter(tags=["completions"])

    @routes.post(
        "/v1/completions",
        response_class=Response,
        **described(TextCompletionBody, TextCompletion, streams=True),
    )
    async def completions(request: Request) -> Response:
        """Go on with a text, or with several."""
        body = checked(TextCompletionBody, read(await request.body()), REFUSED)
        intake.limits.check_choices(body.n)
        if body.stream:
            usage = body.stream_options is not None and bool(body.stream_options.include_usage)
            return intake.streamed(request, body.to_domain(), partial(TextWriter, include_usage=usage))
        return intake.whole(request, body.to_domain(), TextFold)

    return routes
