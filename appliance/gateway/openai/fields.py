"""Fields that several bodies share: how answers are drawn, what every request of ours may say, and what is refused."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from appliance.domain.identifier import Identifier
from appliance.domain.request import BudgetWish
from appliance.gateway.openai.answer_form import ResponseFormat
from appliance.gateway.openai.body import MOST_CHOICES, Body, Json

REFUSED: Final = {
    "best_of": "engines have it no more; use n",
    "priority": "the appliance sets it for each tenant; leave it out",
}
"""Fields of every body that callers may know from elsewhere, and why they are not taken."""

MODEL_CHARS: Final = 256


def _one_or_many(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


ModelName = Annotated[str, Field(min_length=1, max_length=MODEL_CHARS)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Stops = Annotated[
    Annotated[list[Annotated[str, Field(min_length=1, max_length=1_000)]], Field(max_length=16)] | None,
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]


class StreamOptions(Body):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: Literal[False] | None = None


class BudgetBody(Body):
    """The most that one request may spend; what is configured here stays the upper bound."""

    calls: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    gpu_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    wall_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    def to_domain(self) -> BudgetWish:
        """As the coordinator takes it."""
        return BudgetWish(self.calls, self.tokens, self.gpu_s, self.wall_s)


class RequestFields(Body):
    """What every request to a model may say."""

    model: ModelName
    user: str | None = None
    cache_salt: str | None = None
    """Taken off: the appliance sets its own, one for each tenant."""
    labels: Annotated[list[Identifier], Field(max_length=16)] | None = None
    """Ours: what the data of the request are (`confidential`, …); only models and nodes that may see them are used."""
    budget: BudgetBody | None = None
    """Ours: limits of this request below those of the configuration."""

    def label_names(self) -> tuple[str, ...]:
        """Each once, sorted."""
        return tuple(sorted(set(self.labels or ())))

    def budget_wish(self) -> BudgetWish:
        """As the coordinator takes it."""
        return self.budget.to_domain() if self.budget else BudgetWish()


class SamplingFields(Body):
    """How answers are drawn: OpenAI's fields, and those of vLLM's that are safe to pass on."""

    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    """Answers at once, up to `server.max_choices`."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Stops = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=300)] | None = None
    response_format: ResponseFormat = None

    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    stop_token_ids: Annotated[list[int], Field(max_length=64)] | None = None
    bad_words: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=64)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    structured_outputs: Json | None = None

    def chosen(self, *further: str) -> dict[str, Any]:
        """The fields that say something, and `further` ones of the whole body: they go to the engine unchanged."""
        names = (*SamplingFields.model_fields, *further)
        said = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {name: value for name, value in said.items() if (name, value) != ("n", 1)}
