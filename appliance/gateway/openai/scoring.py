"""`POST /v1/rerank` and `POST /v1/score`: how well texts fit each other, where the pool has a model that can tell."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from appliance.domain.endpoint import Endpoint
from appliance.domain.request import ChatMessage, ChatRequest
from appliance.gateway.openai.body import checked, read
from appliance.gateway.openai.described import described
from appliance.gateway.openai.documents import Ranking, Scores
from appliance.gateway.openai.fields import REFUSED, RequestFields
from appliance.gateway.openai.inputs import MOST_INPUTS
from appliance.gateway.openai.intake import Intake
from appliance.gateway.openai.relayed import RelayedFold

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]


class _ScoringBody(RequestFields):
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    """Keep so many tokens of each pair; -1: as many as the model takes."""

    def _domain(self, endpoint: Endpoint, inputs: dict[str, Any], *texts: str | list[str]) -> ChatRequest:
        said = [text for one in texts for text in ([one] if isinstance(one, str) else one)]
        cut = self.truncate_prompt_tokens
        return ChatRequest(
            model=self.model,
            messages=tuple(ChatMessage("user", text) for text in said),
            sampling={} if cut is None else {"truncate_prompt_tokens": cut},
            streamed=False,
            labels=self.label_names(),
            budget=self.budget_wish(),
            endpoint=endpoint,
            inputs=inputs,
        )


class RerankBody(_ScoringBody):
    """Documents to be put in order; the fields of Jina's and Cohere's rerankers."""

    query: Text
    documents: Texts
    top_n: Annotated[int, Field(ge=0)] | None = None
    """Only the best so many; 0: all."""
    return_documents: bool | None = None
    """Taken and left alone: the engine sends the documents back in any case."""

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        inputs: dict[str, Any] = {"query": self.query, "documents": self.documents}
        if self.top_n is not None:
            inputs["top_n"] = self.top_n
        return self._domain(Endpoint.RERANK, inputs, self.query, self.documents)


class ScoreBody(_ScoringBody):
    """Pairs to be scored: one text with each of several, or the texts of two lists, pair by pair."""

    text_1: Text | Texts
    text_2: Text | Texts

    def to_domain(self) -> ChatRequest:
        """As the coordinator takes it."""
        inputs = {"text_1": self.text_1, "text_2": self.text_2}
        return self._domain(Endpoint.SCORE, inputs, self.text_1, self.text_2)


def router(intake: Intake) -> APIRouter:
    """The routes around one coordinator."""
    routes = APIRouter(tags=["reranking"])

    @routes.post("/v1/rerank", response_class=Response, **described(RerankBody, Ranking))
    async def rerank(request: Request) -> Response:
        """Documents in the order in which they fit the query."""
        body = checked(RerankBody, read(await request.body()), REFUSED)
        return intake.whole(request, body.to_domain(), partial(RelayedFold, prefix="rerank"))

    @routes.post("/v1/score", response_class=Response, **described(ScoreBody, Scores))
    async def score(request: Request) -> Response:
        """How well texts fit each other."""
        body = checked(ScoreBody, read(await request.body()), REFUSED)
        return intake.whole(request, body.to_domain(), partial(RelayedFold, prefix="score"))

    return routes
