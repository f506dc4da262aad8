"""The profile of a pool: what its engines cost, and which requests it was asked. Pure.

A profile is a document: what stands in it was measured, or says of itself that it was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from appliance.capacity.engine_profile import EngineProfile
from appliance.capacity.figures import DOCUMENT, Amount
from appliance.capacity.trees import TreeSample
from appliance.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Profile:
    """Engines by kind, and samples of request trees by class of traffic (`direct`, `plan_execute_verify`, …).

    `made_of` says in words where engines and trees come from. `made_unix_s` is wall time.
    """

    __pydantic_config__: ClassVar[ConfigDict] = DOCUMENT

    engines: tuple[EngineProfile, ...]
    trees: Mapping[str, tuple[TreeSample, ...]] = field(default_factory=dict)
    made_of: str = ""
    made_unix_s: Amount = 0.0
    version: Literal[1] = 1

    @property
    def digest(self) -> str:
        """Names this very document."""
        return hashlib.sha256(as_json(self)).hexdigest()

    def engine(
        self, model_id: str, hardware: str | None = None, tensor_parallel_size: int | None = None
    ) -> EngineProfile:
        """The engine of a model, on a kind of hardware where several were profiled. Raises ConfigError."""
        of_model = [engine for engine in self.engines if engine.model_id == model_id]
        found = [
            engine
            for engine in of_model
            if hardware in (None, engine.hardware) and tensor_parallel_size in (None, engine.tensor_parallel_size)
        ]
        if len(found) == 1:
            return found[0]
        if not of_model:
            known = ", ".join(sorted({engine.model_id for engine in self.engines})) or "none"
            raise ConfigError(f"no profile for {model_id} (profiled: {known}); run `appliance capacity profile`")
        kinds = ", ".join(f"{engine.hardware} × {engine.tensor_parallel_size}" for engine in of_model)
        if not found:
            wanted = " × ".join(str(part) for part in (hardware, tensor_parallel_size) if part is not None)
            raise ConfigError(f"{model_id} was not profiled on {wanted}; it was on {kinds}")
        raise ConfigError(f"{model_id} was profiled on several kinds of hardware ({kinds}); say which one")

    def trees_of(self, traffic: str) -> tuple[TreeSample, ...]:
        """The sample of a class of traffic. Raises ConfigError where there is none."""
        found = self.trees.get(traffic, ())
        if not found:
            known = ", ".join(sorted(self.trees)) or "none"
            raise ConfigError(f"the profile has no requests of the class {traffic} (it has: {known})")
        return found

    def check(self, revisions: Mapping[str, str] | None = None) -> None:
        """Raises ConfigError where trees call models without an engine, or engines are not those of a pool.

        `revisions`: model id → revision, of the pool that the profile is to be used for.
        """
        profiled = {engine.model_id for engine in self.engines}
        for traffic, trees in self.trees.items():
            strange = _missing((model for tree in trees for model in tree.models), profiled)
            if strange:
                raise ConfigError(
                    f"the requests of the class {traffic} are traces of another pool: they call {strange}, "
                    f"which is not profiled here; profile that pool, or take traces of this one"
                )
        if revisions is not None:
            self._check_pool(revisions)

    def _check_pool(self, revisions: Mapping[str, str]) -> None:
        if missing := _missing(revisions, {engine.model_id for engine in self.engines}):
            raise ConfigError(f"no profile for {missing}; run `appliance capacity profile`")
        for engine in self.engines:
            wanted = revisions.get(engine.model_id)
            if wanted is not None and engine.revision and wanted != engine.revision:
                raise ConfigError(
                    f"{engine.model_id} was profiled at revision {engine.revision}, and the catalog has {wanted}; "
                    "profile it again"
                )


ADAPTER: TypeAdapter[Profile] = TypeAdapter(Profile)


def as_json(profile: Profile) -> bytes:
    """The document, always the same for the same profile."""
    return ADAPTER.dump_json(profile, indent=1) + b"\n"


def _missing(wanted: Iterable[str], known: set[str]) -> str:
    return ", ".join(sorted(set(wanted) - known))
