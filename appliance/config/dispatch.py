"""The section `dispatch`: which engine gets a call, and what happens when one fails."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from appliance.config.section import Section


class WeightSettings(Section):
    """What counts how much in the score of an engine, where several serve a model. Only the ratios matter."""

    slots: float = Field(4.0, ge=0)
    """The free share of its batch, by our own count of calls in flight."""
    kv: float = Field(2.0, ge=0)
    """The free share of its KV cache, as last sampled; the batch stands for it where that is not known."""
    prefix: float = Field(3.0, ge=0)
    """It is at home to the conversation: it has probably its beginning in its prefix cache."""
    health: float = Field(1.0, ge=0)
    """Its last calls went well."""


class BreakerSettings(Section):
    """When an engine that fails is left alone for a while: its circuit breaker."""

    failures: int = Field(5, ge=1)
    """So many calls in a row must fail: no connection, a broken answer, or the status 502, 503 or 504."""
    open_s: float = Field(1.0, gt=0)
    """For so long it gets no call; then one goes as a trial. Each trial that fails doubles it."""
    longest_open_s: float = Field(30.0, gt=0)
    """It is tried again after this long at the latest."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.open_s > self.longest_open_s:
            raise ValueError("open_s is more than longest_open_s; lower it")
        return self


class RetrySettings(Section):
    """Calls that failed before their first byte are made once more, on another engine, within a budget."""

    share: float = Field(0.1, ge=0, le=1)
    """Retries as a share of all calls."""
    most: float = Field(10.0, ge=0)
    """So many retries may be saved up, and may be made before any call has paid for them."""


class DispatchSettings(Section):
    """Which engine gets a call, and what happens when one fails."""

    weights: WeightSettings = Field(default_factory=lambda: WeightSettings())
    """What counts how much when an engine is chosen."""
    breaker: BreakerSettings = Field(default_factory=lambda: BreakerSettings())
    """When an engine that fails is left alone."""
    retries: RetrySettings = Field(default_factory=lambda: RetrySettings())
    """How many failed calls are made once more."""
