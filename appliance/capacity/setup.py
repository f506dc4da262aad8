"""What is simulated: engines on devices, how calls are dispatched, requests, and what befalls the engines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.trees import TreeSample
from appliance.dispatch.admission import AdmissionLimits
from appliance.dispatch.endpoint_picker import DEFAULT_WEIGHTS, PickWeights
from appliance.domain.tenant import DEFAULT
from appliance.errors import ConfigError


@dataclass(frozen=True, slots=True)
class EnginePlace:
    """One engine on one device; engines with the same `device` share it (a model on several GPUs has one device).

    `awake` is false for one that sleeps until an event wakes it.
    """

    engine_id: str
    profile: EngineProfile
    device: str
    awake: bool = True


@dataclass(frozen=True, slots=True)
class Setup:
    """The pool. After `deadline_s` a request has failed, as under the coordinator's budget of wall time.

    `coordinator` names the device that the coordinator computes on, where that is one of the engines' (a pool without
    GPUs): it works there on one thing after the other and wants `coordinator_share` of it meanwhile.
    """

    engines: tuple[EnginePlace, ...]
    limits: AdmissionLimits = field(default_factory=AdmissionLimits)
    weights: PickWeights = DEFAULT_WEIGHTS
    deadline_s: float = 60.0
    coordinator: str | None = None
    coordinator_share: float = 0.0

    def __post_init__(self) -> None:
        twice = [name for name, many in Counter(place.engine_id for place in self.engines).items() if many > 1]
        if twice:
            raise ConfigError(f"engine {twice[0]} stands twice in what is to be simulated")
        if self.coordinator is not None and self.coordinator not in {place.device for place in self.engines}:
            raise ConfigError(f"the coordinator's device {self.coordinator} is none of the engines'")

    def check(self, trees: Iterable[TreeSample]) -> None:
        """Raises ConfigError for calls that no engine of the pool takes."""
        longest = {place.profile.model_id: 0 for place in self.engines}
        for place in self.engines:
            profile = place.profile
            fits = min(profile.max_model_len, profile.kv_tokens // profile.block_size * profile.block_size)
            longest[profile.model_id] = max(longest[profile.model_id], fits)
        for tree in trees:
            for call in tree.calls:
                if call.model_id not in longest:
                    raise ConfigError(f"no engine for {call.model_id} among those to be simulated")
                if call.prompt_tokens + call.completion_tokens > longest[call.model_id]:
                    raise ConfigError(
                        f"a call of {call.prompt_tokens} + {call.completion_tokens} tokens is longer than the "
                        f"{longest[call.model_id]} that an engine of {call.model_id} takes"
                    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request comes."""

    at_s: float
    traffic: str
    tree: TreeSample
    tenant: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Outage:
    """An engine's process dies with all that is on it. It serves again `for_s` later; None: as long as it starts."""

    at_s: float
    engine_id: str
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class WakeUp:
    """An engine that sleeps is woken; it serves when it is awake."""

    at_s: float
    engine_id: str


Event = Outage | WakeUp
