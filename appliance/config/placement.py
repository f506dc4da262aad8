"""The `placement` section of the configuration: what the plan is asked beside pool and roles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from appliance.config.section import Section
from appliance.domain.demand import RoleDemand

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

DEFAULT_CALLS = {
    "planner": RoleDemand(1, 600, 200),
    "executors": RoleDemand(1, 500, 300),
    "verifier": RoleDemand(2, 800, 30),
    "synthesizer": RoleDemand(1, 1000, 400),
}
"""Stands in where no calls are given; without a planner the generalist answers alone."""
DEFAULT_DIRECT = RoleDemand(1, 500, 300)


class CallsSettings(Section):
    """How often a request calls a role, and with how many tokens."""

    calls: float = Field(1, gt=0)
    """Calls per whole request, on average."""
    prompt_tokens: int = Field(ge=1)
    """Prompt of one call, on average."""
    completion_tokens: int = Field(ge=1)
    """Answer of one call, on average."""


class PlacementModelSettings(Section):
    """Where and how often one model may be placed. Lengths and batch sizes stand at its pool entry."""

    replicas_min: int | None = Field(None, ge=0, le=64)
    """Fewest engines; the pool's `replicas` by default. 0: it may be left out where not all fit."""
    replicas_max: int = Field(64, ge=1, le=64)
    """Most engines."""
    tensor_parallel_sizes: tuple[Literal[1, 2, 4, 8], ...] = Field((1, 2, 4, 8), min_length=1)
    """GPUs per engine that may be tried. A pool entry's `tensor_parallel_size` above 1 fixes it."""
    gpus: tuple[Name, ...] = ()
    """Pins: GPUs that it may stand on, as `node/id`, or `id` where there is one node."""
    nodes: tuple[Name, ...] = ()
    """Pins: nodes that it may stand on."""
    data_class: Name | None = None
    """Class of the data that it sees; only nodes that list it qualify."""
    may_sleep: bool = True
    """It may take turns with others by sleep and wake."""


class ReplanSettings(Section):
    """When the plan is made anew while the appliance runs by one (on GPUs, with `follow: plan`).

    It must be where a GPU is lost or sick, or where what engines and others take of one does not fit any more. It may
    be where a GPU came, or where requests ask for something else than was planned for; then only a clearly faster plan
    is carried out.
    """

    enabled: bool = True
    """Off: the plan of the start is kept, whatever happens."""
    every_s: float = Field(5, gt=0)
    """The GPUs are looked at this often."""
    slack_bytes: int = Field(256 * 2**20, ge=0)
    """A GPU is too full when more than this is missing of its reserve, at two looks in a row."""
    gain: float = Field(0.15, ge=0, le=10)
    """A plan that need not be must promise so much more of the rate: 0.15 is 15%."""
    settle_s: float = Field(600, ge=0)
    """After any new plan, one that need not be is made this much later at the earliest."""
    window_s: float = Field(300, gt=0)
    """What requests ask for is summed up over windows of at least this length."""
    window_requests: int = Field(50, ge=1)
    """A window has at least so many requests."""
    windows: int = Field(3, ge=1, le=100)
    """In so many windows in a row the demand must differ from what was planned for."""
    factor: float = Field(2.0, gt=1)
    """It differs where a role bears more than `factor` times, or less than 1 / `factor` of, its part of the load."""
    retry_s: float = Field(60, gt=0)
    """Where nothing fits, it is tried again after this time, then after twice as long, up to 16 times as long."""


class PlacementSettings(Section):
    """What a placement plan goes by. A pool entry's `kv_cache_memory_bytes` is its least, not what is pinned."""

    follow: Literal["plan", "pool"] = "plan"
    """What `appliance up` starts on GPUs. `plan`: what `appliance plan` shows. `pool`: each pool entry as it stands,
    with its own `replicas`, `gpu_ids` and bytes. On the CPU the pool is always followed as it stands."""
    requests_per_s: float | None = Field(None, gt=0)
    """Whole requests per second that are wanted; the plan says whether they are reached."""
    calls: dict[str, CallsSettings] = Field(default_factory=dict)
    """Calls by role: `planner`, `executors.<skill>`, `verifier`, `synthesizer`, `generalist`."""
    models: dict[str, PlacementModelSettings] = Field(default_factory=dict)
    """Limits by model of the pool."""
    forbidden_pairs: tuple[tuple[Name, Name], ...] = ()
    """Pairs of models that may not share a GPU."""
    different_families: tuple[tuple[Name, Name], ...] = (("planner", "verifier"),)
    """Pairs of roles that models of different families should play, where the pool allows it."""
    licences: tuple[Name, ...] = ()
    """SPDX identifiers that are allowed. Empty: any."""
    data_class: Name | None = None
    """Class of the data of all models that name none."""
    reserve_bytes: int = Field(256 * 2**20, ge=0)
    """Kept free on each GPU."""
    turns: bool = True
    """Let models take turns by sleep and wake where not all fit."""
    replan: ReplanSettings = Field(default_factory=lambda: ReplanSettings())
    """When the plan is made anew while the appliance runs."""

    def problems(self, pool: Collection[str], roles: Mapping[str, tuple[str, ...]]) -> list[str]:
        """Names that the rest of the configuration does not know, each with its key and the way out."""
        known, played = ", ".join(pool), ", ".join(role for role, models in roles.items() if models)
        found = [
            f"placement.models.{name}: is not in the pool; add it there or name one of {known}"
            for name in self.models
            if name not in pool
        ]
        found += [
            f"placement.forbidden_pairs: {name} is not in the pool; name one of {known}"
            for pair in self.forbidden_pairs
            for name in pair
            if name not in pool
        ]
        found += [
            f"placement.calls.{role}: no model plays it; give roles.{role} one, or name one of {played}"
            for role in self.calls
            if not roles.get(role)
        ]
        found += [
            f"placement.models.{name}: replicas_min {limits.replicas_min} is more than replicas_max "
            f"{limits.replicas_max}; lower it"
            for name, limits in self.models.items()
            if (limits.replicas_min or 0) > limits.replicas_max
        ]
        return found
