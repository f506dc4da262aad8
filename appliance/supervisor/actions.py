"""What the supervisor may do to an engine, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.engine import EngineSpec


@dataclass(frozen=True, slots=True)
class Start:
    """Start an engine."""

    spec: EngineSpec
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain an engine and end it."""

    engine_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Drain an engine, because it is another's turn, and let it sleep."""

    engine_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Its turn has come: wake an engine, or start it where it has no process."""

    spec: EngineSpec
    reason: str


@dataclass(frozen=True, slots=True)
class Rest:
    """An engine without a process need not start before its turn comes."""

    spec: EngineSpec
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done for an engine before `until_s` (None: before another engine has moved)."""

    engine_id: str
    until_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Remove:
    """An engine that is not wanted any more has no process: forget it."""

    engine_id: str


Action = Start | Stop | Sleep | Wake | Rest | Wait | Remove
