"""A learned head that takes the prompt's embedding: one short call where no rule decides, and none that can harm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pytest

from appliance.coordinator.embedding import vector_of
from appliance.coordinator.routing_options import Condition, Rule
from appliance.domain.endpoint import Endpoint
from appliance.domain.model import Role
from appliance.domain.policy import DataPolicy
from appliance.domain.request import ChatRequest
from appliance.domain.strategy import HeadChoice
from appliance.domain.trace import Outcome
from appliance.domain.use_rule import UseRule
from tests.coordinator.house import MODELS, OPTIONS, House, asks, content, events_of, house
from tests.fakes.pooled import vector
from tests.fakes.virtual_time import run

EMBEDDER = "embedder"
NOT_ASKED = "the learned head was not asked: it needs an embedding of embedder"


@dataclass(slots=True)
class Head:
    """Says `direct` where it has an embedding."""

    embedder: str = EMBEDDER
    embed_timeout_s: float = 0.25
    asked: list[tuple[float, ...]] = field(default_factory=list)

    def embedded(self, text: str) -> str:
        return text[:20]

    def choose(
        self, text: str, strategies: Collection[str], embedding: Sequence[float] = (), *, live: bool = True
    ) -> HeadChoice | None:
        self.asked.append(tuple(embedding))
        return HeadChoice("direct", "head: direct", shadow=False) if embedding else None

    def ended(self, *, well: bool) -> None:
        """Nothing is made of it."""


def built(head: Head, **changes: object) -> House:
    names = dict.fromkeys((*MODELS, EMBEDDER), "starter")
    return house(learned=head, prompt_sets=names, **changes)  # type: ignore[arg-type]  # those of `house`


def test_the_head_gets_the_embedding_and_the_trace_shows_its_call() -> None:
    async def main() -> None:
        head = Head()
        made = built(head)
        request = asks()
        assert content(await events_of(made, request)) == "79"
        assert head.asked == [tuple(vector(request.messages[-1].content[:20]))]
        assert made.trace.decision.reasons == ("head: direct",)
        embedding, answer = made.trace.calls
        assert (embedding.role, embedding.model_id, embedding.task_id) == (Role.ROUTER, EMBEDDER, "route")
        assert answer.role is Role.GENERALIST
        assert made.client.asked[0].call.endpoint is Endpoint.EMBEDDINGS
        assert made.trace.usage.total_tokens == embedding.usage.total_tokens + answer.usage.total_tokens

    run(main())


def test_one_that_takes_too_long_is_not_waited_for() -> None:
    async def main() -> None:
        head = Head()
        made = built(head)
        made.client.pooled_after_s = 9.0
        assert content(await events_of(made, asks())) == "79"
        assert head.asked == [()]
        assert made.trace.decision.reasons[-1] == f"{NOT_ASKED} (none within 0.25 s)"
        assert made.trace.decision.strategy == "plan_execute_verify"
        assert made.trace.calls[0].outcome is Outcome.CANCELLED
        assert made.client.aborted == 1

    run(main())


def test_one_that_fails_leaves_the_cues_to_decide() -> None:
    async def main() -> None:
        made = built(Head(), down=(EMBEDDER,))
        assert content(await events_of(made, asks())) == "79"
        assert made.trace.decision.reasons[-1].startswith(NOT_ASKED)
        assert made.trace.decision.strategy == "plan_execute_verify"

    run(main())


def test_a_policy_that_does_not_allow_the_embedder_is_kept() -> None:
    async def main() -> None:
        policy = DataPolicy({"inner": UseRule(models=frozenset(MODELS))})
        made = built(Head(), policy=policy)
        assert content(await events_of(made, asks(labels=("inner",)))) == "79"
        assert made.trace.decision.reasons[-1].startswith(NOT_ASKED)
        assert all(asked.call.model_id != EMBEDDER for asked in made.client.asked)

    run(main())


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        (asks(), replace(OPTIONS, rules=(Rule("all", "direct", Condition()),))),
        (asks(strategy="direct"), replace(OPTIONS, allow_choice=True)),
        (asks(sampling={"logprobs": True}), OPTIONS),
        (asks(model="generalist"), OPTIONS),
    ],
)
def test_where_something_decided_before_nothing_is_embedded(request_: ChatRequest, options: object) -> None:
    async def main() -> None:
        made = built(Head(), options=options)
        await events_of(made, request_)
        assert [call.role for call in made.trace.calls] == [Role.GENERALIST]

    run(main())


def test_a_head_of_text_alone_asks_nobody() -> None:
    async def main() -> None:
        head = Head(embedder="")
        made = built(head)
        await events_of(made, asks())
        assert head.asked == [()]
        assert all(call.role is not Role.ROUTER for call in made.trace.calls)

    run(main())


@pytest.mark.parametrize("document", [{}, {"data": []}, {"data": [{}]}, {"data": [{"embedding": ["x"]}]}, {"data": 1}])
def test_what_is_no_embedding(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, IndexError, TypeError, ValueError)):
        vector_of(document)
