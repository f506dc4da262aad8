"""All sections together, and what must hold between them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from appliance.config.access import AccessSettings
from appliance.config.bundle import BundleSettings
from appliance.config.cluster import ClusterSettings
from appliance.config.coordinator import CoordinatorSettings
from appliance.config.dispatch import DispatchSettings
from appliance.config.engines import EnginesSettings, ModelsSettings, PoolMember
from appliance.config.ledger import LedgerSettings
from appliance.config.placement import PlacementSettings
from appliance.config.policy import PolicySettings
from appliance.config.roles import RolesSettings
from appliance.config.section import Section
from appliance.config.server import ServerSettings
from appliance.config.telemetry import TelemetrySettings
from appliance.domain.strategy import PASSTHROUGH


class Settings(Section):
    """The whole configuration of one appliance."""

    version: Literal[1] = 1
    """Version of this schema."""
    data_dir: Path = Path("var")
    """Directory for keys, the ledger, logs, caches and the lock; relative to the working directory."""
    server: ServerSettings = Field(default_factory=lambda: ServerSettings())
    """The HTTP door."""
    engines: EnginesSettings = Field(default_factory=lambda: EnginesSettings())
    """How engine processes are run."""
    models: ModelsSettings
    """Where models are described and stored."""
    pool: tuple[PoolMember, ...] = Field(min_length=1)
    """The models that are served."""
    roles: RolesSettings
    """Which model plays which role."""
    dispatch: DispatchSettings = Field(default_factory=lambda: DispatchSettings())
    """Which engine gets a call."""
    coordinator: CoordinatorSettings = Field(default_factory=lambda: CoordinatorSettings())
    """How `auto` answers."""
    access: AccessSettings = Field(default_factory=lambda: AccessSettings())
    """Who may come in besides those with a key of the key file."""
    policy: PolicySettings = Field(default_factory=lambda: PolicySettings())
    """Which data may go where, and what tenants may use."""
    ledger: LedgerSettings = Field(default_factory=lambda: LedgerSettings())
    """Where traces are kept."""
    telemetry: TelemetrySettings = Field(default_factory=lambda: TelemetrySettings())
    """What is told to an OpenTelemetry collector."""
    placement: PlacementSettings = Field(default_factory=lambda: PlacementSettings())
    """What a placement plan goes by, and whether it is followed."""
    cluster: ClusterSettings = Field(default_factory=lambda: ClusterSettings())
    """How gateways and packs find and trust each other where they run apart."""
    bundle: BundleSettings = Field(default_factory=lambda: BundleSettings())
    """What is taken across an air gap."""

    _source: str = PrivateAttr(default="")

    @property
    def source(self) -> str:
        """The file that these settings came from."""
        return self._source

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pool = [member.model for member in self.pool]
        for model in pool:
            if pool.count(model) > 1:
                raise ValueError(f"pool: {model} stands twice; use replicas")
            if model == self.coordinator.virtual_model:
                raise ValueError(f"coordinator.virtual_model: {model} is also a model of the pool; rename one")
        for key, models in self.role_models().items():
            for model in models:
                if model not in pool:
                    raise ValueError(f"roles.{key}: {model} is not in the pool; add it there or name one of {pool}")
        if self.roles.planner and not self.roles.executors:
            raise ValueError("roles.executors: a planner needs at least one skill with an executor")
        problems = [*self.coordinator.problems(pool, can_plan=bool(self.roles.planner)), *self._policy_problems(pool)]
        if problems := [*problems, *self.placement.problems(pool, self.role_models())]:
            raise ValueError("; ".join(problems))
        return self

    def _policy_problems(self, pool: list[str]) -> list[str]:
        return self.policy.problems(pool, (*self.coordinator.known_strategies(), PASSTHROUGH))

    def role_models(self) -> dict[str, tuple[str, ...]]:
        """Dotted role key → models, as in the file."""
        roles = self.roles
        named = {f"executors.{skill}": models for skill, models in roles.executors.items()}
        return named | {
            "planner": roles.planner,
            "verifier": roles.verifier,
            "synthesizer": roles.synthesizer,
            "generalist": roles.generalist,
        }

    def said_by(self, source: str) -> Settings:
        """The same, as `source` said it."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def below_data_dir(self, path: Path) -> Path:
        """`path`, taken below `data_dir` unless it is absolute."""
        return path if path.is_absolute() else self.data_dir / path
