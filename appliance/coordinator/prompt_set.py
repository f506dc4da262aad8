"""The templates that a family of models understands, and how its answers are read. Pure: rendering has no effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from appliance.domain.model import Role
from appliance.errors import ConfigError


class Renderable(Protocol):
    """What a compiled template can do."""

    def render(self, **values: Any) -> str:
        """The text, with every name of the template given in `values`."""


class PlanRepair(StrEnum):
    """The second try after a rejected plan."""

    SHOW_ERROR = "show_error"
    """The same call with the bad plan and what is wrong with it."""
    RESAMPLE = "resample"
    """A fresh sample at the repair temperature: for models that can't read error texts."""


class PlanFormat(StrEnum):
    """How the engine is kept to plans."""

    JSON_SCHEMA = "json_schema"
    """OpenAI's response_format; the engine chooses the white space."""
    SPELLING = "spelling"
    """Exactly as `json.dumps` spells it: for models that were trained on this spelling and get lost in any other."""


class AnswerForm(StrEnum):
    """Where in an answer, after its working, stands what counts when answers are compared."""

    WHOLE = "whole"
    """It is all of it."""
    LAST_LINE = "last_line"
    """Prose that ends with it: a boxed expression, else the last line."""


class References(StrEnum):
    """How an instruction speaks of the results of other tasks."""

    NAMED = "named"
    """By their names; the results stand below it, as data."""
    INLINE = "inline"
    """With the results in their place: for models that were trained on bare instructions."""


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One message: its chat role (`system`, `user`) and the template of its content."""

    role: str
    template: Renderable


@dataclass(frozen=True, slots=True)
class PromptSet:
    """How models of one family are asked, and how their answers are read.

    `messages` has the templates of each role; a role that is missing is not played by this family, but for the
    generalist, who then gets the caller's messages as they are. What stands before the last `answer_separator` of an
    answer is working; None: there is none. `params` are extra request fields by role. `judges` are the skills whose
    results its verifiers understand; None: any. `verdict_reason`: their verdict is the last line of the answer, and
    what stands before it says why. `answer_form` says what counts when answers are compared. `verifier_digest`
    changes with whatever a verdict depends on. Models that make no text don't `speak`, and play no role.
    """

    name: str
    messages: Mapping[Role, tuple[MessageTemplate, ...]]
    answer_separator: str | None = None
    plan_repair: PlanRepair = PlanRepair.SHOW_ERROR
    plan_format: PlanFormat = PlanFormat.JSON_SCHEMA
    params: Mapping[Role, Mapping[str, Any]] = field(default_factory=dict)
    judges: frozenset[str] | None = None
    verdict_reason: bool = False
    answer_form: AnswerForm = AnswerForm.WHOLE
    references: References = References.NAMED
    verifier_digest: str = ""
    speaks: bool = True

    def render(self, role: Role, **values: Any) -> tuple[dict[str, str], ...]:
        """The messages of one call; raises ConfigError for a role that this set has no templates for."""
        messages = self.messages.get(role)
        if messages is None:
            raise ConfigError(f"prompt set {self.name}: no templates for the role {role.value}")
        return tuple([{"role": m.role, "content": m.template.render(**values)} for m in messages])

    def plays(self, role: Role) -> bool:
        """Whether models of this set can play `role`."""
        return self.speaks and (role is Role.GENERALIST or role in self.messages)

    def judges_skill(self, skill: str) -> bool:
        """Whether a verifier of this set understands results of `skill`."""
        return self.judges is None or skill in self.judges

    def answer_of(self, text: str) -> str:
        """What follows the last separator, stripped; the whole text where there is none."""
        return text.rpartition(self.answer_separator)[2].strip() if self.answer_separator else text.strip()


SPEECHLESS = PromptSet("none", {}, speaks=False)
"""Of models that embed or score."""
