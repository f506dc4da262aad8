"""`POST /tokenize` and `POST /detokenize`: what a named model makes of a text, and back; nothing is generated."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from appliance.domain.endpoint import Endpoint
from appliance.domain.request import ChatMessage, ChatRequest
from appliance.gateway.openai.answer_form import Tool
from appliance.gateway.openai.body import checked, read
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import TokenList, TokensText
from appliance.gateway.openai.fields import REFUSED, RequestFields
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.relayed import RelayedFold
from appliance.gateway.openai.schema import Message

_WISHES = ("add_special_tokens", "return_token_strs", "add_generation_prompt", "continue_final_message", "tools")
_MOST_TOKENS = 1_000_000


class TokenizeBody(RequestFields):
    """A text, or a conversation as the model's template writes it: vLLM's fields."""

    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=2_048)] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeBody:
        if (self.prompt is None) is (self.messages is None):
            raise PydanticCustomError("prompt", "either prompt or messages is needed", {"below": "prompt"})
        return self

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        said = tuple(message.to_domain() for message in self.messages or ())
        inputs: dict[str, Any] = (
            {"messages": [message.as_sent() for message in said]} if said else {"prompt": self.prompt}
        )
        return ChatRequest(
            model=self.model,
            messages=said or (ChatMessage("user", self.prompt or ""),),
            sampling={name: value for name in _WISHES if (value := getattr(self, name)) is not None},
            streamed=False,
            labels=self.label_names(),
            budget=self.budget_wish(),
            endpoint=Endpoint.TOKENIZE,
            inputs=inputs,
        )


class DetokenizeBody(RequestFields):
    """Token ids: vLLM's fields."""

    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=_MOST_TOKENS)]

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        return ChatRequest(
            model=self.model,
            messages=(ChatMessage("user", " ".join(map(str, self.tokens))),),
            streamed=False,
            labels=self.label_names(),
            budget=self.budget_wish(),
            endpoint=Endpoint.DETOKENIZE,
            inputs={"tokens": self.tokens},
        )


def router(intake: Intake) -> APIRouter:
    """The routes around one coordinator."""
    routes = APIRouter(tags=["tokens"])
    bare = partial(RelayedFold, bare=True)

    @routes.post("/tokenize", response_class=Response, **described(TokenizeBody, TokenList))
    async def tokenize(request: Request) -> Response:
        """The tokens of a text."""
        body = checked(TokenizeBody, read(await request.body()), REFUSED)
        return intake.whole(request, body.to_domain(), bare)

    @routes.post("/detokenize", response_class=Response, **described(DetokenizeBody, TokensText))
    async def detokenize(request: Request) -> Response:
        """The text of tokens."""
        body = checked(DetokenizeBody, read(await request.body()), REFUSED)
        return intake.whole(request, body.to_domain(), bare)

    return routes
