"""The section `roles`."""

from __future__ import annotations

from pydantic import Field

from appliance.config.section import Section
from appliance.domain.identifier import Identifier


class RolesSettings(Section):
    """Which model plays which role. A list is an order of preference: the next one is taken when one fails."""

    planner: tuple[Identifier, ...] = ()
    """Models that turn a question into a task graph. Empty: everything is answered directly."""
    executors: dict[Identifier, tuple[Identifier, ...]] = Field(default_factory=dict)
    """Skill → models that carry out a task of this skill."""
    verifier: tuple[Identifier, ...] = ()
    """Models that judge a result. Empty: results are not verified."""
    synthesizer: tuple[Identifier, ...] = ()
    """Models that write the answer from the results. Empty: the last task's result is the answer."""
    generalist: tuple[Identifier, ...] = Field(min_length=1)
    """Models that answer in one call: the direct strategy, and the fallback."""
