"""Requests as they were seen: the calls of each, with their tokens, and what each call waited for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from appliance.capacity.figures import DOCUMENT, Amount, Count
from appliance.domain.model import Role


@dataclass(frozen=True, slots=True)
class CallShape:
    """One call of a request.

    Of the prompt, the first `shared_tokens` are the same in each call of this role and model (instructions, examples).
    It is made `after_s` (the coordinator's own time) after the calls `waits_for` have ended, by their places in the
    request; of a plan that is carried out while it is written, after the last one of them has made `after_token`
    tokens. `calls_after` and `calls_left` are what the coordinator tells the dispatcher, as in CallContext.
    """

    __pydantic_config__: ClassVar[ConfigDict] = DOCUMENT

    role: Role
    model_id: str
    prompt_tokens: Count
    completion_tokens: Count
    shared_tokens: Count = 0
    waits_for: tuple[Count, ...] = ()
    after_s: Amount = 0.0
    after_token: Count | None = None
    calls_after: Count = 0
    calls_left: Count | None = None

    def __post_init__(self) -> None:
        if self.shared_tokens > self.prompt_tokens:
            raise ValueError(f"shared_tokens {self.shared_tokens} are more than prompt_tokens {self.prompt_tokens}")
        if self.after_token is not None and not self.waits_for:
            raise ValueError("after_token: it waits for no call")


@dataclass(frozen=True, slots=True)
class TreeSample:
    """One request. It is answered `last_s` after its last call has ended.

    `streamed_by` is the call whose tokens the caller sees as they come; None where the answer comes whole at the end.
    """

    __pydantic_config__: ClassVar[ConfigDict] = DOCUMENT

    calls: tuple[CallShape, ...]
    last_s: Amount = 0.0
    streamed_by: Count | None = None

    def __post_init__(self) -> None:
        if not self.calls:
            raise ValueError("a request makes one call at least")
        for place, call in enumerate(self.calls):
            if any(other >= place for other in call.waits_for):
                raise ValueError(f"calls.{place}.waits_for: a call waits for earlier ones only")
        if self.streamed_by is not None and self.streamed_by >= len(self.calls):
            raise ValueError(f"streamed_by: there is no call {self.streamed_by}")

    @property
    def models(self) -> frozenset[str]:
        """Models that it calls."""
        return frozenset(call.model_id for call in self.calls)
