"""Models of the catalog and the roles that they may play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from appliance.domain.endpoint import EngineTask
from appliance.domain.geometry import Geometry


class Role(StrEnum):
    """What one call is for."""

    PLANNER = "planner"
    EXECUTOR = "executor"
    VERIFIER = "verifier"
    SYNTHESIZER = "synthesizer"
    GENERALIST = "generalist"
    """Answers the whole question in one call: the direct strategy, and the fallback of every other one."""
    ROUTER = "router"
    """Embeds a prompt for the learned head. No model is given this role: `coordinator.learned.embedder` names it."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One approved file of a model: its path below the model's directory, size and SHA-256 (hex)."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """An open-weight model at a pinned revision.

    `skills` maps a skill name to a prior score in [0, 1]. `prompt_set` names the templates under
    `coordinator/prompts/` that this model understands. `quantization` names the number format of the weights where it
    is not `dtype`; `tool_parser` and `reasoning_parser` are vLLM's names for the model's way of calling and thinking.
    `source` says where the geometry was read, `derived` which fields were not read but reckoned or estimated. A model
    whose `task` is not to generate text plays no role and has no prompt set. `reads_images`: so does its engine.
    """

    model_id: str
    repository: str
    revision: str
    licence: str
    publisher: str
    country: str
    family: str
    architecture: str
    parameters: int
    dtype: str
    context_tokens: int
    roles: frozenset[Role]
    skills: Mapping[str, float]
    prompt_set: str
    files: tuple[ModelFile, ...]
    description: str = ""
    quantization: str | None = None
    geometry: Geometry | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    source: str = ""
    derived: tuple[str, ...] = ()
    task: EngineTask = EngineTask.GENERATE
    reads_images: bool = False
